"""
What the tests of an authority share: Alice, who wants in, and Bob, who is an
authority, on a network in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.authority.answers import ENROLMENT_WORKERS
from ockam_twisted.authority.authority import Authority
from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import SecureChannelListener
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.membership import Membership, enrolmentPolicy, memberPolicy
from ockam_twisted.relays.client import RelayClient
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.services.requests import request
from ockam_twisted.sessions.attempt import Walk
from ockam_twisted.testing import MemoryNetwork, MemoryNode
from ockam_twisted.wire.api import POST, Request, Response, newId

BOB = MultiAddr.fromText("/dnsaddr/bob/tcp/4100/secure/api")
#: To Bob, through a relay.
VIA = MultiAddr.fromText("/dnsaddr/relay/tcp/4000/service/forward_to_bob/secure/api")


class AuthorityTestCase(SynchronousTestCase):
    """
    See the module.
    """

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.network = MemoryNetwork()
        self.alice, self.bob = MemoryNode(self.network, "alice"), MemoryNode(self.network, "bob")
        self.alice.calendar.startService()
        self.bob.calendar.startService()
        self.authority = Authority(self.bob.store, self.bob.now)
        self.listener = self.answer()

    def answer(self, isOpen: bool = False, trust: ITrustPolicy | None = None) -> SecureChannelListener:
        """
        Start Bob's services.
        """
        listener = self.bob.listen(
            trust or (TrustEveryone() if isOpen else memberPolicy(self.authority)),
            enrolment=enrolmentPolicy(self.authority),
            enrolmentWorkers=ENROLMENT_WORKERS,
        )
        self.membership = Membership(self.bob.router, self.bob.party, self.authority, listener, isOpen=isOpen)
        self.membership.startService()
        return listener

    def logged(self) -> str:
        """
        All log lines.
        """
        return "\n".join(
            str(event["log_format"]).format(**event)
            for event in self.events
            if isinstance(event.get("log_format"), str)
        )

    def node(self, name: str) -> MemoryNode:
        """
        One more node.
        """
        return MemoryNode(self.network, name)

    def relay(self) -> MemoryNode:
        """
        The relay of L{VIA}, where Bob is not yet.
        """
        node = self.node("relay")
        service = RelayService(
            router=node.router,
            clock=self.network.clock,
            names=node.store,
            now=node.now,
            consumerIds=(node.transport.listenerId,),
        )
        service.startService()
        self.addCleanup(service.stopService)
        return node

    def register(self, relay: MemoryNode) -> None:
        """
        Bob comes to a relay.
        """
        road = self.bob.connect(relay).route()
        flowId = self.bob.router.flowControls.producerId(road[0])
        assert flowId is not None
        self.bob.router.flowControls.addConsumer(Address.local("api"), flowId)
        client = RelayClient(self.bob.router, self.network.clock, road, "bob", False)
        self.network.result(client.register())
        self.addCleanup(client.stop)

    def walk(self, node: MemoryNode) -> Walk:
        """
        How a node gets about.
        """

        def dial(road: Any) -> Any:
            return self.network.endpoint(road[0][1])

        return Walk(node.router, self.network.clock, node.transport, lambda: node.party, dial)

    def channel(self, node: MemoryNode | None = None) -> SecureChannel:
        """
        Somebody's channel to Bob.
        """
        node = node or self.alice
        hop = node.connect(self.bob)
        return self.network.result(node.createChannel(hop.route("api"), TrustIdentifier(self.bob.identifier)))

    def ask(
        self,
        channel: SecureChannel,
        worker: str,
        body: bytes | None = None,
        path: str = "/",
        method: int = POST,
        node: MemoryNode | None = None,
    ) -> Deferred[Response]:
        """
        Ask one of Bob's services through a channel.
        """
        node = node or self.alice
        route = Route((channel.encryptor, Address.local(worker)))
        asked = request(node.router, self.network.clock, route, Request(newId(), path, method, body), 5.0)
        self.network.pump()
        return asked

    def code(self, *arguments: Any, **options: Any) -> bytes:
        """
        A fresh one-time code.
        """
        return self.successResultOf(self.authority.createToken(*arguments, **options))[1]

    def settle(self, waiting: Deferred[Any], seconds: float = 5.0) -> Any:
        """
        Let time pass until something has come of it.
        """
        outcome: list[Any] = []
        waiting.addBoth(outcome.append)
        self.network.advance(seconds)
        self.assertTrue(outcome, "nothing came of it")
        return outcome[0]


#: Makes a service of a test.
Make = Callable[..., Any]
