"""
Two nodes with portals between them, and programs at both ends that know what
they should hear: for machines and attackers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory
from twisted.logger import globalLogPublisher

from ockam_twisted.portals import shares
from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import MemoryLink
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.wire.terms import MAX_EARLY, decodeTerms
from tests.portals.common import OUTLET, ChannelPortalTestCase, Halved

KIB = 1024

#: What a direction grows to: small, so that it is reached.
LARGEST = 64 * KIB

#: What the windows of a node share, and in a world that is narrow all streams
#: of a channel.
BUDGET, NARROW = 16 * 1024 * KIB, 96 * KIB

#: How many bytes each direction has.
LIMIT = 600 * KIB

#: What a portal reads at once.
READ = 48 * KIB

#: How long streams wait for another way, seconds.
PATIENCE = 30.0

_BYTES = random.Random(6).randbytes(2 * 1024 * KIB)


def pattern(number: int, offset: int, size: int) -> bytes:
    """
    The bytes of a direction: what they are tells where they belong.
    """
    start = number * 7919 % (1024 * KIB) + offset
    return _BYTES[start : start + size]


class Speaker(Halved):
    """
    A program, and what is known of it.

    @ivar number: Of what it says.
    @ivar wrote: How many bytes it has said.
    @ivar isSilent: Has it closed its writing half?
    @ivar isClosed: Has it closed both?
    @ivar hasAborted: Has it reset?
    @ivar came: How many bytes it was told.
    @ivar wrong: What was wrong about these.
    @ivar other: Who is at the other end of the stream, once there is one.
    @ivar opened: When it began, on the clock.
    @ivar isExcused: May it be reset without any doing of its own?
    """

    count = 0

    def __init__(self) -> None:
        super().__init__()
        Speaker.count += 1
        self.number = Speaker.count
        self.wrote = self.came = 0
        self.isSilent = self.isClosed = self.hasAborted = False
        self.wrong = ""
        self.other: Speaker | None = None
        self.isExcused = False
        self.opened = 0.0

    def say(self, size: int) -> None:
        """
        Write the next bytes.
        """
        left = min(size, LIMIT - self.wrote)
        while left > 0:
            piece = pattern(self.number, self.wrote, min(left, READ))
            self.wrote += len(piece)
            left -= len(piece)
            self.send(piece)

    def dataReceived(self, data: bytes) -> None:
        other = self.other
        if other is None:
            self.wrong = "bytes from nobody"
        elif self.finished:
            self.wrong = "bytes after the end"
        elif data != pattern(other.number, self.came, len(data)):
            self.wrong = f"other bytes after {self.came}"
        self.came += len(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        other = self.other
        if other is None:
            self.wrong = "an end from nobody"
        elif not self.mayEnd(other):
            self.wrong = f"an end after {self.came} of {other.wrote} bytes, {other.isSilent}"

    def mayEnd(self, other: Speaker) -> bool:
        """
        May it hear FIN now?
        """
        return other.isSilent and self.came == other.wrote

    @property
    def isThere(self) -> bool:
        """
        Is its connection open?
        """
        return self.transport is not None and self.lost is None and not self.isClosed and not self.hasAborted

    @property
    def isReset(self) -> bool:
        """
        Was it reset?
        """
        return self.ending == "ConnectionLost"


class PlainSpeaker(Speaker):
    """
    The same without the extension: who closes one half hears the end of the
    other, and a reset is told as an end.
    """

    def mayEnd(self, other: Speaker) -> bool:
        return self.isSilent or other.isExcused or super().mayEnd(other)


class _Outlet(Outlet):
    """
    Knows which target was connected for whom.
    """

    world: World

    def messageReceived(self, message: LocalMessage) -> None:
        made = self.world.targets.made
        before = len(made)
        super().messageReceived(message)
        for each in made[before:]:
            assert isinstance(each, Speaker)
            self.world.connected(each, message)


class EarlySockets(LocalSockets):
    """
    Local sockets in memory from which something can be taken.

    @ivar saying: What a client says that has just connected.
    """

    saying: Callable[[], bytes] = bytes

    def take(self, transport: Any) -> bytes:
        said = self.saying()
        waiting = transport.peer.outgoing.waiting
        if said or not waiting:
            return said
        item = waiting.popleft()
        if len(item) > MAX_EARLY:
            waiting.appendleft(item[MAX_EARLY:])
        return bytes(item[:MAX_EARLY])


class World(ChannelPortalTestCase):
    """
    Two nodes, and what may be between them.

    @cvar isNarrow: Is little permitted to the streams of a channel?
    @ivar hops: Every connection there was between them.
    @ivar clients: Every client there was.
    """

    kind: type[Speaker] = Speaker
    isSecret = True
    isNarrow = False
    inletFeatures: int | None = None
    outletFeatures: int | None = None

    def runTest(self) -> None:
        """
        It is none.
        """

    def setUp(self) -> None:
        Speaker.count = 0
        self._floor = shares.FLOOR
        if self.isNarrow:
            shares.FLOOR = NARROW
        super().setUp()
        self.hops = [self.hop]
        if not self.isSecret:
            self.way.change(self.newRoute(self.hop))
        self.clients: list[Speaker] = []
        self.saying = b""
        node = self.inletNode
        node.sockets = sockets = EarlySockets(node.router.turn, node.stalls)
        sockets.saying = self._said
        self.targets.kind = self.kind
        self.allSettings: list[StreamSettings] = []
        self._links: dict[Speaker, MemoryLink] = {}
        self._follow()
        self.startOutlet()
        self.startInlet()

    def tearDown(self) -> None:
        shares.FLOOR = self._floor
        globalLogPublisher.removeObserver(self._logged)

    def _settings(self, features: int | None) -> StreamSettings:
        settings = StreamSettings(
            self.network.clock,
            largestWindow=LARGEST,
            resumeTimeout=PATIENCE,
            budget=WindowBudget(BUDGET),
        )
        if features is not None:
            settings.features = features
        self.allSettings.append(settings)
        return settings

    def startOutlet(self) -> None:
        """
        A new process begins.
        """
        node = self.outletNode
        if "target" not in self.network.ports:
            self.network.endpoint("target").listen(self.targets)
        target = SocketTarget(node.router, node.sockets, self.network.endpoint("target"), "target")
        settings = self._settings(self.outletFeatures)
        self.theOutlet = outlet = _Outlet(node.router, self.network.clock, target, OUTLET, settings=settings)
        outlet.world = self
        outlet.startService()
        for flowId in (self.listener.flowId, node.transport.listenerId):
            node.router.flowControls.addConsumer(OUTLET, flowId)

    def startInlet(self) -> None:
        """
        A new process begins.
        """
        self.theInlet = self.inlet(settings=self._settings(self.inletFeatures))
        self._first = len(self.clients)

    def connected(self, target: Speaker, ping: LocalMessage) -> None:
        """
        A target was connected for the stream that is asked for by C{ping}.
        """
        target.other, target.isExcused = self.kind(), True
        for client in self.clients:
            if self._isFor(client, ping):
                if client.other is not None:
                    # It has begun anew: the earlier one is nobody's.
                    if client.other.came:
                        client.wrong = "its bytes were said to two targets"
                    client.other.other, client.other.isExcused = self.kind(), True
                client.other, target.other = target, client
                target.isExcused = client.isExcused

    def _isFor(self, client: Speaker, ping: LocalMessage) -> bool:
        stream = self.streamOf(client)
        terms = decodeTerms(ping.payload)
        if not isinstance(stream, InletStream):
            return False
        if terms is not None and terms.early is not None and stream._brought is not None:
            mine = self.theInlet.settings.instance, stream._brought.number
            return (terms.instance, terms.early.number) == mine and client in self.clients[self._first :]
        return stream.address == ping.return_route[-1]

    def open(self, size: int = 0) -> Speaker:
        """
        A client connects.

        @param size: What it says at once, bytes.
        """
        client = self.kind()
        client.opened = self.network.clock.seconds()
        self.clients.append(client)
        self.saying = pattern(client.number, 0, min(size, MAX_EARLY))
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        self._links[client] = self.network.links[-1]
        said, self.saying = self.saying, b""
        if said:
            # Nobody has taken it yet.
            client.say(len(said))
        self.network.pump()
        return client

    def _said(self) -> bytes:
        said, self.saying = self.saying, b""
        self.clients[-1].wrote += len(said)
        return said

    def newRoute(self, hop: MemoryLink) -> Route:
        return super().newRoute(hop) if self.isSecret else hop.route(OUTLET)

    def linkOf(self, speaker: Speaker) -> MemoryLink:
        """
        The connection of a program to its portal.
        """
        link = self._links.get(speaker)
        if link is None:
            link = self._links[speaker] = self.link(speaker)
        return link

    def streamOf(self, speaker: Speaker) -> PortalStream | None:
        """
        The end of the stream that a program is at.
        """
        link = self.linkOf(speaker)
        socket = link.server.protocol if link.client.protocol is speaker else link.client.protocol
        stream = getattr(socket, "stream", None)
        assert stream is None or isinstance(stream, PortalStream)
        return stream

    def prepare(self) -> None:
        """
        Another connection and another channel, not in use yet.
        """
        self.hop = self.inletNode.connect(self.outletNode)
        self.hops.append(self.hop)
        self.next = self.newRoute(self.hop)

    def move(self) -> None:
        """
        The way moves there.
        """
        self.way.change(self.next)
        self._follow()
        self.network.pump()

    def _follow(self) -> None:
        """
        The way goes down with its channel, or its connection.
        """
        route = self.way.route
        assert route is not None
        router = self.inletNode.router

        def gone() -> None:
            if self.way.route is route:
                self.way.change(None)

        router.watch(route[0], gone)

    def speakers(self) -> list[Speaker]:
        """
        Every program there was.
        """
        targets = [each for each in self.targets.made if isinstance(each, Speaker)]
        return self.clients + targets
