"""
Makes the hops of a transport.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ockam_twisted.transports.guests import Guests
from ockam_twisted.transports.hop import HopProtocol
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.message import MessageProtocol
from ockam_twisted.transports.stream import MessageStreamProtocol
from ockam_twisted.wire.codecs import Codec


class HopCensus:
    """
    The hops there are, of several factories perhaps, which have their limits
    together.

    @ivar hops: All of them.
    @ivar counted: How many of them count towards the limits.
    @ivar perAddress: How many of these there are from each source.
    """

    def __init__(self) -> None:
        self.hops: set[HopProtocol] = set()
        self.counted = 0
        self.perAddress = Guests()

    def add(self, hop: HopProtocol) -> None:
        """
        There is one more, until it is lost.
        """
        self.hops.add(hop)
        hop.whenLost().addCallback(lambda reason: self.hops.discard(hop))

    def count(self, hop: HopProtocol, host: str) -> None:
        """
        One counts from now on.
        """
        self.counted += 1
        leave = self.perAddress.enter(host)

        def lost(reason: str) -> None:
            self.counted -= 1
            leave()

        hop.whenLost().addCallback(lost)


class HopFactory(Factory):
    """
    Makes hops; accepts no more of them than it should.

    @ivar settings: Of its hops.
    @ivar census: Where they are counted.
    """

    noisy = False
    _log = Logger()

    def __init__(self, settings: HopSettings, spawnerId: str | None = None, census: HopCensus | None = None) -> None:
        self.settings = settings
        self.census = HopCensus() if census is None else census
        self._spawnerId = spawnerId

    @property
    def hops(self) -> set[Any]:
        """
        Those that there are, of all that are counted together.
        """
        return self.census.hops

    def admits(self, host: str) -> bool:
        """
        May there be one more from where this address is?  Whoever is not
        admitted is told of in the log.
        """
        settings, census = self.settings, self.census
        if self._spawnerId is None or (
            census.perAddress.near(host) < settings.perAddress and census.counted < settings.total
        ):
            return True
        self._log.warn("Refusing a connection from {host}: there are too many", host=host, event="connection-refused")
        return False

    def made(self, hop: HopProtocol) -> None:
        """
        There is one more.
        """
        self.census.add(hop)
        # Who listens has nobody waiting for it.
        if self._spawnerId is not None:
            hop.ready.addErrback(lambda failure: None)


class MessageStreamFactory(HopFactory):
    """
    Makes hops over carriers that are streams of bytes.
    """

    def buildProtocol(self, addr: IAddress | None, greets: bool = True) -> MessageStreamProtocol | None:
        """
        A connection was made.

        @param greets: See L{MessageStreamProtocol}.
        """
        host = str(getattr(addr, "host", ""))
        if not self.admits(host):
            return None
        hop = MessageStreamProtocol(self.settings, self._spawnerId, greets)
        self.made(hop)
        self.census.count(hop, host)
        return hop


class MessageFactory(HopFactory):
    """
    Makes hops over carriers that keep messages.
    """

    def __init__(
        self, settings: HopSettings, codec: Codec, spawnerId: str | None = None, census: HopCensus | None = None
    ) -> None:
        """
        @param codec: What messages look like on these carriers.
        """
        super().__init__(settings, spawnerId, census)
        self.codec = codec

    def buildProtocol(self, addr: IAddress | None) -> MessageProtocol | None:
        """
        A connection was made.  Who comes in datagrams may have written any
        address on them: he counts once he is proven, and is let go then if there are
        too many; how many others there may be is the carrier's to say.
        """
        host = str(getattr(addr, "host", ""))
        isProven = self._spawnerId is None or getattr(addr, "type", "") != "UDP"
        if isProven and not self.admits(host):
            return None
        hop = MessageProtocol(self.settings, self.codec, self._spawnerId)
        self.made(hop)

        def proven() -> None:
            if self.admits(host):
                self.census.count(hop, host)
            else:
                transport: Any = hop.transport
                transport.loseConnection()

        if isProven:
            self.census.count(hop, host)
        else:
            hop.proven = proven
        return hop
