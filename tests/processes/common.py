"""
A relay of several processes in memory: their links are those of a
L{MemoryNetwork}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import PayloadReceiver
from ockam_twisted.memory import MemoryLink
from ockam_twisted.processes.link import Link
from ockam_twisted.processes.names import Directory, NameTable, ownerOf
from ockam_twisted.processes.router import AskingRouter
from ockam_twisted.processes.words import Word, route, unpack
from ockam_twisted.relays.client import Registration, RelayClient
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.services.echo import EchoService
from ockam_twisted.testing import Inbox, MemoryNetwork, MemoryNode
from ockam_twisted.transports.budget import QueueBudget
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.service import TransportService
from ockam_twisted.transports.stalls import StallWatch

#: What may wait for one connection of the relay.
HIGH_WATER = 64 * 1024


class Process:
    """
    One process of the relay; it accepts at an endpoint of its own.
    """

    def __init__(self, case: ProcessesTestCase, number: int, router: Router) -> None:
        clock = case.network.clock
        self.case = case
        self.number = number
        self.router = router
        self.links: dict[int, Link] = {}
        self.stalls = StallWatch(clock, QueueBudget())
        self.transport = TransportService(HopSettings(router, clock, self.stalls, highWater=HIGH_WATER))
        self.transport.listen(case.network.endpoint(f"process {number}"))

    def link(self, number: int) -> Link:
        """
        The end here of a link to a process.
        """
        made = self.links[number] = Link(
            self.transport.settings, self.transport.listenerId, number, lambda link: self.links.pop(number, None)
        )
        return made


class Other(Process):
    """
    One that is not the first.
    """

    def __init__(self, case: ProcessesTestCase, number: int) -> None:
        super().__init__(case, number, AskingRouter(self._ask))
        listenerId = self.transport.listenerId
        self.names = NameTable(self.router, number, self.links, (listenerId,), self._sends)
        self.echo = EchoService(self.router, case.network.clock, consumerIds=(listenerId,))
        self.echo.startService()
        self.isSlow = False
        self.packets: list[bytes] = []

    def _ask(self, message: LocalMessage) -> PayloadReceiver | None:
        return self.links[0].ask(message) if 0 in self.links else None

    def _sends(self, address: Address, connection: Address, isOver: bool) -> None:
        self.case.directory.sends(self.number, address, connection, isOver)

    def received(self, packet: bytes) -> None:
        """
        A packet of the first process.
        """
        self.packets.append(packet)
        if not self.isSlow:
            self.read()

    def read(self) -> None:
        """
        Do what the first process has said.
        """
        packets, self.packets = self.packets, []
        for packet in packets:
            word, *values = unpack(packet)
            if word == Word.NAME:
                serial, address, forward_route, owner, peer = values
                with self.router.turn:
                    self.names.set(Address(*address), route(forward_route), owner, peer)
                if serial:
                    self.case.directory.known(self.number, serial)
            elif word == Word.NO_NAME:
                self.names.remove(Address(*values[0]))


class Peer:
    """
    A node that is connected with one process.
    """

    def __init__(self, case: ProcessesTestCase, name: str, process: Process) -> None:
        self.case = case
        self.node = MemoryNode(case.network, name)
        case.network.result(self.node.transport.connect(case.network.endpoint(f"process {process.number}")))
        self.link: MemoryLink = case.network.links[-1]
        self.inbox = self.node.inbox("app")
        self.clients: list[RelayClient] = []

    @property
    def hop(self) -> Any:
        """
        The relay's end of its connection.
        """
        return self.link.server.protocol

    def register(self, name: str, road: Route | None = None, direct: bool = False) -> Registration:
        """
        Get a name.
        """
        made = self.ask(name, road, direct)
        return self.case.network.result(made)

    def ask(self, name: str, road: Route | None = None, direct: bool = False) -> Any:
        """
        Ask for a name.
        """
        client = RelayClient(self.node.router, self.case.network.clock, road or self.link.route(), name, direct)
        self.clients.append(client)
        return client.register()

    def prove(self) -> Route:
        """
        Make a channel to the relay.

        @return: The route through it.
        """
        channel = self.case.network.result(self.node.createChannel(self.link.route("api"), TrustEveryone()))
        return Route((channel.encryptor,))

    def answers(self) -> Inbox:
        """
        Have an echo that can be reached over its connection.
        """
        flowId = self.node.router.flowControls.producerId(self.link.route()[0])
        assert flowId is not None
        return self.node.inbox("service", flowId, echo=True)

    def send(self, *hops: Address | str, payload: bytes = b"hello") -> None:
        """
        Send something by its connection.
        """
        self.node.send(self.link.route(*hops), payload, self.inbox)
        self.case.network.pump()


class ProcessesTestCase(SynchronousTestCase):
    """
    A relay of several processes.
    """

    count = 3

    def setUp(self) -> None:
        """
        Start and connect them.
        """
        self.network = MemoryNetwork()
        relay = MemoryNode(self.network, "relay")
        self.relay = relay
        self.first = Process(self, 0, relay.router)
        self.others = [Other(self, number) for number in range(1, self.count)]
        self.directory = Directory(lambda address: ownerOf(relay.router, self.first.links.values(), address))
        self.roads: dict[tuple[int, int], MemoryLink] = {}
        processes: list[Process] = [self.first, *self.others]
        for one in processes:
            for two in processes[: one.number]:
                self.connect(one, two)
        self.network.pump()
        listenerId = self.first.transport.listenerId
        self.listener = relay.listen(TrustEveryone(), listenerId)
        echo = EchoService(relay.router, self.network.clock, consumerIds=(listenerId,))
        echo.startService()
        self.service = RelayService(
            router=relay.router,
            clock=self.network.clock,
            names=relay.store,
            now=relay.now,
            consumerIds=(listenerId, self.listener.flowId),
            directory=self.directory,
        )
        self.service.startService()
        for other in self.others:
            self.directory.listen(other.number, other.received)

    def connect(self, one: Process, two: Process) -> None:
        """
        Make the link between two of them.
        """
        self.roads[one.number, two.number] = self.network.join(one.link(two.number), two.link(one.number))

    def cut(self, one: int, two: int) -> None:
        """
        End the link between two of them.
        """
        self.roads[max(one, two), min(one, two)].client.abortConnection()
        self.network.pump()
