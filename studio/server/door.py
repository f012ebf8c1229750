"""Binds the address before anything else is started: the access policy for it, and the listening socket.

A bind that would leave the studio open to others, or a port in use, is refused here, before a worker or a page exists.
"""

import errno
import socket
from dataclasses import dataclass
from types import TracebackType

from studio.core.errors import InvalidRequest
from studio.core.settings import Settings
from studio.server.policy import WILDCARDS, Policy, policy_for

PORTS_TRIED = 20


@dataclass(frozen=True)
class Door:
    """A listening socket, not yet answered, and the policy for its requests. Closes with its `with` block."""

    policy: Policy
    socket: socket.socket

    @classmethod
    def take(cls, settings: Settings) -> "Door":
        """Raises InvalidRequest with one sentence where the address cannot or must not be bound."""
        policy = policy_for(settings)
        if "port" in settings.model_fields_set:
            return cls(policy, _bind(settings.host, settings.port))
        for port in range(settings.port, settings.port + PORTS_TRIED):
            try:
                return cls(policy, _bind(settings.host, port))
            except PortInUse:
                continue
        return cls(policy, _bind(settings.host, 0))

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = str(self.socket.getsockname()[0])
        if host in WILDCARDS:
            host = "127.0.0.1"
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def __enter__(self) -> "Door":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


class PortInUse(InvalidRequest):
    """Another program listens there."""


def _bind(host: str, port: int) -> socket.socket:
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise InvalidRequest(f"{host!r} is not an address of this machine.", field="host") from None
    try:
        # A restarted studio can bind its port again at once; on Windows the option would share it with others.
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Listening already claims the port: without it a second studio could bind the same one.
        bound.listen(2048)
    except OSError as error:
        bound.close()
        if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)):
            raise PortInUse(
                f"Port {port} is in use by another program; choose another with --port.", field="port"
            ) from None
        if error.errno == errno.EACCES:
            raise InvalidRequest(
                f"Port {port} needs more rights than this user has; choose one above 1023.", field="port"
            ) from None
        raise InvalidRequest(f"{host} is not an address of this machine.", field="host") from None
    return bound
