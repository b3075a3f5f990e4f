"""
What the tests of portals share: local programs, and portals between them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.plain import State
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.testing import MemoryLink, MemoryNetwork, MemoryNode, MemoryWay

OUTLET = Address.local("outlet")


class Program(Protocol):
    """
    A program at an end of a portal.

    @ivar received: All it was sent.
    @ivar lost: Why its connection has ended.
    """

    greeting = b""
    echo = False

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        if self.greeting:
            self.send(self.greeting)

    def send(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.echo:
            self.send(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    @property
    def ending(self) -> str:
        """
        How the connection has ended: the name of the exception.
        """
        return "" if self.lost is None else type(self.lost.value).__name__


class Programs(Factory):
    """
    Makes programs and keeps them.
    """

    noisy = False
    kind: type[Program] = Program

    def __init__(self, **attributes: Any) -> None:
        self.made: list[Program] = []
        self._attributes = attributes

    def buildProtocol(self, addr: object) -> Program:
        program = self.kind()
        for name, value in self._attributes.items():
            setattr(program, name, value)
        self.made.append(program)
        return program


class LoggedTestCase(SynchronousTestCase):
    """
    Keeps what is logged at warning level and above.
    """

    def setUp(self) -> None:
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)

    def _logged(self, event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.warn:
            self.logged.append(event)

    def lines(self) -> list[str]:
        """
        What was logged, as text.
        """
        return [event["log_format"].format(**event) for event in self.logged if event.get("log_format")]


class PortalTestCase(LoggedTestCase):
    """
    An inlet and an outlet, by default on two nodes with a plain connection
    between them, with real sockets replaced by links in memory.
    """

    def setUp(self) -> None:
        super().setUp()
        self.network = MemoryNetwork()
        self.inletNode = MemoryNode(self.network, "inlet node")
        self.outletNode = MemoryNode(self.network, "outlet node")
        self.hop = self.inletNode.connect(self.outletNode)
        self.way = MemoryWay(self.hop.route(OUTLET))
        self.targets = Programs()

    def outlet(self, *consumerIds: str, **options: Any) -> Outlet:
        """
        Start the outlet, with the target at the name C{target}.
        """
        node = self.outletNode
        if "target" not in self.network.ports:
            self.network.endpoint("target").listen(self.targets)
        target = SocketTarget(node.router, node.sockets, self.network.endpoint("target"), "target")
        outlet = Outlet(node.router, self.network.clock, options.pop("target", target), OUTLET, **options)
        outlet.startService()
        for flowId in consumerIds or (node.transport.listenerId,):
            node.router.flowControls.addConsumer(OUTLET, flowId)
        return outlet

    def inlet(self, **options: Any) -> Inlet:
        """
        Start the inlet, which listens at the name C{inlet}.
        """
        node = self.inletNode
        inlet = Inlet(node.router, self.network.clock, node.sockets, self.way, **options)
        inlet.startService()
        inlet.listen(self.network.endpoint("inlet"))
        return inlet

    def client(self) -> Program:
        """
        Connect a client to the inlet.
        """
        client = self.targets.kind()
        self.network.endpoint("inlet").connect(Factory.forProtocol(lambda: client))
        self.network.pump()
        return client

    def link(self, program: Program) -> MemoryLink:
        """
        The link of a client or a target.
        """
        for link in self.network.links:
            if program in (link.client.protocol, link.server.protocol):
                return link
        raise AssertionError("it has no link")

    def assertIdle(self, *portals: Inlet | Outlet) -> None:
        """
        Nothing of any stream is left.
        """
        for portal in portals:
            self.assertEqual(portal.streams, set())
            if isinstance(portal, Outlet):
                self.assertEqual((portal.resumptions.streams, portal.resumptions._instances), ({}, {}))


class ChannelPortalTestCase(PortalTestCase):
    """
    The same, through a secure channel: both ends know the portal extension.
    """

    def setUp(self) -> None:
        super().setUp()
        self.listener = self.outletNode.listen(TrustIdentifier(self.inletNode.identifier))
        self.way = MemoryWay(self.newRoute(self.hop))

    def newRoute(self, hop: MemoryLink) -> Route:
        """
        Make another channel.
        """
        making = self.inletNode.createChannel(hop.route("api"), TrustIdentifier(self.outletNode.identifier))
        self.channel = self.network.result(making)
        return Route((self.channel.encryptor, OUTLET))

    def newWay(self) -> None:
        """
        Another connection, another channel: the way moves there.
        """
        self.hop = self.inletNode.connect(self.outletNode)
        self.way.change(self.newRoute(self.hop))
        self.network.pump()

    def outlet(self, *consumerIds: str, **options: Any) -> Outlet:
        """
        See L{PortalTestCase.outlet}.
        """
        return super().outlet(*(consumerIds or (self.listener.flowId,)), **options)

    def both(self, **options: Any) -> tuple[Program, Program]:
        """
        Start outlet and inlet, and open a stream.

        @return: Client and target.
        """
        self.theOutlet, self.theInlet = self.outlet(), self.inlet(**options)
        return self.another()

    def another(self) -> tuple[Program, Program]:
        """
        Open one more stream.
        """
        client = self.client()
        return client, self.targets.made[-1]

    def close(self, program: Program, half: bool = False) -> None:
        """
        A program closes its connection, or its writing half.
        """
        transport: Any = program.transport
        (transport.loseWriteConnection if half else transport.loseConnection)()
        self.network.pump()


@implementer(IHalfCloseableProtocol)
class Halved(Program):
    """
    A program that cares for the halves of its connection.

    @ivar finished: It has heard the other side's end.
    """

    finished = False

    def readConnectionLost(self) -> None:
        self.finished = True

    def writeConnectionLost(self) -> None:
        pass


def localRoute(inbox: Any) -> Route:
    """
    The route to an inbox of the same node.
    """
    return Route((inbox.address,))


class Told:
    """
    Stands in for a stream: remembers what it was told.
    """

    state = State.OPEN

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append(name)
