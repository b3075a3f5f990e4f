"""
Connections by source address: those that are still in a handshake, or all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ockam_twisted.wire.hosts import network


class Guests(Counter[str]):
    """
    See the module; by source (L{network}).
    """

    def near(self, host: str) -> int:
        """
        How many there are from the source that C{host} is of.
        """
        return self[network(host)]

    def enter(self, host: str) -> Callable[[], None]:
        """
        There is one more.

        @return: To be called when it is none any more; once more does nothing.
        """
        source = network(host)
        self[source] += 1
        isThere = True

        def leave() -> None:
            nonlocal isThere
            if isThere:
                isThere = False
                self[source] -= 1
                if not self[source]:
                    del self[source]

        return leave
