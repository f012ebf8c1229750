"""Slows down password guessing: after a few wrong passwords an address has to wait, each time twice as long.

Credentials that succeeded once from an address are accepted while it waits, as several people may share a proxy. No web
framework.
"""

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from studio.server.policy import Refusal

FREE = 5  # wrong passwords without a wait
LONGEST = 60.0  # seconds
REMEMBERED = 4096  # addresses, and successful logins


@dataclass
class _Failures:
    count: int = 0
    until: float = 0.0  # time of the clock before which logins are refused


class Logins:
    """Used by one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def judge(self, address: str, authorization: bytes, verdict: Refusal | None) -> Refusal | None:
        """The policy's `verdict` on a request with credentials, or a refusal while its address has to wait."""
        network, now = _network(address), self._clock()
        login = (network, hashlib.sha256(authorization).digest())
        if verdict is None and login in self._known:
            return None
        failures = self._failures.setdefault(network, _Failures())
        self._failures.move_to_end(network)
        _cut(self._failures)
        if now < failures.until:
            seconds = math.ceil(failures.until - now)
            wait = "1 second" if seconds == 1 else f"{seconds} seconds"
            return Refusal(429, f"Too many wrong passwords came from this address; wait {wait}.")
        if verdict is None:
            del self._failures[network]
            self._known[login] = None
            _cut(self._known)
            return None
        failures.count += 1
        if failures.count >= FREE:
            failures.until = now + min(2.0 ** (failures.count - FREE), LONGEST)
        return verdict


def _network(address: str) -> str:
    """The address; for IPv6 its /64 network, which one customer of a provider has."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4 or known.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False))


def _cut(table: OrderedDict) -> None:
    while len(table) > REMEMBERED:
        table.popitem(last=False)
