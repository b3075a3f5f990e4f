"""
Makes the connections of a stream transport.
"""

from __future__ import annotations

from collections import Counter

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.stream import MessageStreamProtocol


class MessageStreamFactory(Factory):
    """
    Makes hops; accepts no more of them than it should.

    @ivar settings: Of its hops.
    """

    noisy = False
    _log = Logger()

    def __init__(self, settings: HopSettings, spawnerId: str | None = None) -> None:
        self.settings = settings
        self._spawnerId = spawnerId
        self._perAddress: Counter[str] = Counter()
        self.hops: set[MessageStreamProtocol] = set()

    def buildProtocol(self, addr: IAddress | None, greets: bool = True) -> MessageStreamProtocol | None:
        """
        A connection was made.

        @param greets: See L{MessageStreamProtocol}.
        """
        host = str(getattr(addr, "host", ""))
        settings = self.settings
        if self._spawnerId is not None and (
            self._perAddress[host] >= settings.perAddress or len(self.hops) >= settings.total
        ):
            self._log.warn(
                "Refusing a connection from {host}: there are too many", host=host, event="connection-refused"
            )
            return None
        hop = MessageStreamProtocol(settings, self._spawnerId, greets)
        self.hops.add(hop)
        self._perAddress[host] += 1

        def lost(reason: str) -> None:
            self.hops.discard(hop)
            self._perAddress[host] -= 1
            if not self._perAddress[host]:
                del self._perAddress[host]

        hop.whenLost().addCallback(lost)
        # Who listens has nobody waiting for it.
        if self._spawnerId is not None:
            hop.ready.addErrback(lambda failure: None)
        return hop
