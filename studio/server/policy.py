"""Access control: decides by a request's headers alone, with no web framework.

Three checks, in this order: is the Host one of the studio's own names, does the request come from its own page (Origin,
Sec-Fetch-Site), and are the Basic credentials right. A browser on another site fails the first or the second, whatever that
site makes it send; a program that is no browser passes both.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from studio.core.errors import InvalidRequest
from studio.core.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"0.0.0.0", "::"})
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Refusal:
    """A status and the sentence that goes with it; `challenge` asks the browser for credentials."""

    status: int
    sentence: str
    challenge: bool = False


@dataclass(frozen=True)
class Policy:
    """`hosts`: accepted names. `any_address`: IP addresses are accepted too. `credentials`: user:password."""

    hosts: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False
    credentials: str | None = field(default=None, repr=False)

    def judge(self, headers: Headers, *, method: str = "GET", path: str = "/") -> Refusal | None:
        """None if the request is allowed. A websocket's opening is judged as the GET that it is."""
        table = _table(headers)
        return self._host(table) or self._origin(table, method, path) or self._password(table)

    def _host(self, table: dict[str, list[str]]) -> Refusal | None:
        given = table.get("host", [])
        host = _host_and_port(given[0]) if len(given) == 1 else None
        if host and (host[0] in self.hosts or (self.any_address and _is_address(host[0]))):
            return None
        shown = repr(given[0][:80]) if given else "no name"
        return Refusal(421, f"This studio is not reachable as {shown}; use the address that it printed at start.")

    def _origin(self, table: dict[str, list[str]], method: str, path: str) -> Refusal | None:
        refusal = Refusal(403, "This request comes from another site, and only the studio's own page may send it.")
        origins, sites = table.get("origin", []), table.get("sec-fetch-site", [])
        if len(origins) > 1 or len(sites) > 1:
            return refusal
        if origins and not _same_origin(origins[0], table["host"][0]):
            return refusal
        # "same-site" is another port of this machine as well, so it is as foreign as "cross-site".
        if sites and sites[0] not in ("same-origin", "none"):
            opens_page = (
                method == "GET"
                and path == "/"
                and not origins
                and table.get("sec-fetch-mode") == ["navigate"]
                and table.get("sec-fetch-dest") == ["document"]
            )
            return None if opens_page else refusal
        return None

    def _password(self, table: dict[str, list[str]]) -> Refusal | None:
        if self.credentials is None:
            return None
        given = table.get("authorization", [])
        if len(given) == 1 and _equal(_basic(given[0]), self.credentials):
            return None
        return Refusal(401, "This studio asks for a user name and a password.", challenge=True)


def policy_for(settings: Settings) -> Policy:
    """The policy of a bind. Raises InvalidRequest where the bind would leave the studio open to others."""
    host = settings.host.strip("[]").lower()
    if not is_loopback(host) and settings.auth is None:
        raise InvalidRequest(
            f"Binding {settings.host} opens the studio to other machines, so it needs --auth user:password; "
            "without one it binds only this machine's own address (127.0.0.1).",
            field="host",
        )
    names = {host, *(name.lower().strip("[]") for name in settings.allow_hosts)} - WILDCARDS
    if host in WILDCARDS:
        own = socket.gethostname().lower()
        names |= {own, own.split(".")[0], f"{own.split('.')[0]}.local"}
    return Policy(LOOPBACK_NAMES | names, any_address=host in WILDCARDS, credentials=settings.auth)


def is_loopback(host: str) -> bool:
    """True for a name or address that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _table(headers: Headers) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for name, value in headers:
        table.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return table


def _host_and_port(text: str) -> tuple[str, int | None] | None:
    """`name`, `name:80`, `[::1]:80` -> (lower-case name without brackets, port); None for anything else."""
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        port = rest[1:]
    else:
        name, _, port = text.partition(":")
    if not name or any(character in "/@\\,? " for character in name) or (port and not port.isascii()):
        return None
    if port and not (port.isdigit() and int(port[:6]) <= 65535):
        return None
    return name.lower(), int(port) if port else None


def _same_origin(origin: str, host: str) -> bool:
    """The Origin is the page's own when it names the Host that was called; "null" (a sandboxed frame, a file) never is."""
    scheme, separator, rest = origin.partition("://")
    if not separator or scheme not in ("http", "https"):
        return False
    theirs, ours = _host_and_port(rest), _host_and_port(host)
    if theirs is None or ours is None:
        return False
    # A default port may be written or left out on either side; the Origin's scheme says which one is meant.
    port = DEFAULT_PORTS[scheme]
    return (theirs[0], theirs[1] or port) == (ours[0], ours[1] or port)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _basic(header: str) -> str:
    """user:password of a Basic header; empty for any other."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _equal(given: str, expected: str) -> bool:
    # Hashed first, so that the comparison's time reveals neither length.
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, expected))
    return hmac.compare_digest(*digests)
