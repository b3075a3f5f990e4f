"""
What the tests of relays share: a relay in memory, and nodes that register.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.memory import MemoryLink
from ockam_twisted.relays.client import Registration, RelayClient
from ockam_twisted.relays.quotas import RelayQuotas
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import Inbox, MemoryNetwork, MemoryNode
from tests.channels.common import ChannelTestCase


class Registrant:
    """
    A node at the relay, with or without a channel to it.
    """

    def __init__(self, case: RelayTestCase, name: str, proven: bool, node: MemoryNode | None = None) -> None:
        self.case = case
        self.node = node or MemoryNode(case.network, name)
        self.link: MemoryLink = self.node.connect(case.relay)
        self.road = self.link.route()
        self.channel: SecureChannel | None = None
        if proven:
            made = self.node.createChannel(self.link.route("api"), TrustEveryone())
            self.channel = case.network.result(made)
            self.road = Route((self.channel.encryptor,))
        self.clients: list[RelayClient] = []
        self.echo: Inbox | None = None

    def answers(self) -> Registrant:
        """
        From now on its echo can be reached from the relay.
        """
        flows = [self.node.router.flowControls.producerId(self.link.route()[0])]
        if self.channel is not None:
            flows.append(self.channel.flowId)
        if self.echo is None and Address.local("echo") in self.node.router:
            echo = self.node.router.worker(Address.local("echo"))
            assert isinstance(echo, Inbox)
            self.echo = echo
            for each in flows:
                self.node.router.flowControls.addConsumer(echo.address, str(each))
        if self.echo is None:
            self.echo = self.node.inbox("echo", *[each for each in flows if each], echo=True)
        return self

    def ask(self, name: str | None, direct: bool = False) -> Deferred[Registration]:
        """
        Ask for a name.
        """
        client = RelayClient(self.node.router, self.case.network.clock, self.road, name, direct)
        self.clients.append(client)
        result = client.register()
        self.case.network.pump()
        return result

    def gets(self, name: str | None, direct: bool = False) -> Registration:
        """
        Ask for a name that is given at once.
        """
        return self.case.successResultOf(self.ask(name, direct))

    def isRefused(self, name: str) -> None:
        """
        Ask for a name that is not given.
        """
        result = self.ask(name)
        self.case.assertNoResult(result)
        result.addErrback(lambda failure: None)
        self.clients[-1].stop()

    def raw(self, payload: bytes, service: str = "forwarding_service", *back: str) -> None:
        """
        Send something to the relay service.
        """
        source = self.node.inbox(f"raw {len(self.node.router._mailboxes)}")
        with self.node.router.turn:
            route = self.road.append(Address.local(service))
            returning = Route((*(Address.local(each) for each in back), source.address))
            self.node.router.route(LocalMessage(route, returning, payload), source.address)
        self.case.network.pump()

    def cut(self) -> None:
        """
        Its connection is lost.
        """
        self.link.cut()
        self.case.network.pump()


class RelayTestCase(ChannelTestCase):
    """
    A relay that takes registrations over connections and channels.
    """

    quotas: RelayQuotas | None = None
    authorized: Any = None

    def setUp(self) -> None:
        """
        Start it.
        """
        SynchronousTestCase.setUp(self)
        self.logged = []
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)
        self.network = MemoryNetwork()
        self.relay = MemoryNode(self.network, "relay")
        self.listener = self.relay.listen(TrustEveryone())
        self.service = self.makeService(self.relay.store)
        self.service.startService()

    def makeService(self, names: Any) -> RelayService:
        """
        The service, not started.
        """
        return RelayService(
            router=self.relay.router,
            clock=self.network.clock,
            names=names,
            now=self.relay.now,
            consumerIds=(self.relay.transport.listenerId, self.listener.flowId),
            authorized=self.authorized,
            quotas=self.quotas,
        )

    def somebody(self, name: str, node: MemoryNode | None = None) -> Registrant:
        """
        Who has proven an identity.
        """
        return Registrant(self, name, True, node)

    def anybody(self, name: str, node: MemoryNode | None = None) -> Registrant:
        """
        Who has not.
        """
        return Registrant(self, name, False, node)

    def reaches(self, registrant: Registrant, name: str) -> bool:
        """
        Does a message to a name come to C{registrant}, and the answer back?
        """
        registrant.answers()
        assert registrant.echo is not None
        before = len(registrant.echo.messages)
        sender = MemoryNode(self.network, f"sender {len(self.network.ports)}")
        link = sender.connect(self.relay)
        inbox = sender.inbox("app")
        sender.send(link.route(f"forward_to_{name}", "echo"), b"through", inbox)
        self.network.pump()
        came = len(registrant.echo.messages) > before
        self.assertEqual(inbox.payloads, [b"through"] if came else [])
        return came

    def assertNothingLeft(self) -> None:
        """
        No name is in use, and nothing is remembered about who had one.
        """
        service = self.service
        self.assertEqual(service.relays, {})
        self.assertEqual(service._probes, {})
        self.assertEqual(service._fights.waiting, {})
        self.assertEqual(service._storing, {})
        self.assertEqual(dict(service._perConnection), {})
        self.assertEqual(service._unstored, set())
