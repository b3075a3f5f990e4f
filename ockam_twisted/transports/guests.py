"""
Connections by source address: those that are still in a handshake, or all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Guests(Counter[str]):
    """
    See the module; by source address.
    """

    def enter(self, host: str) -> Callable[[], None]:
        """
        There is one more.

        @return: To be called when it is none any more; once more does nothing.
        """
        self[host] += 1
        isThere = True

        def leave() -> None:
            nonlocal isThere
            if isThere:
                isThere = False
                self[host] -= 1
                if not self[host]:
                    del self[host]

        return leave
