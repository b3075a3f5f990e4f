"""
Tests for L{ockam_twisted.relays.notices}.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IWorker
from ockam_twisted.memory import MemoryLink
from ockam_twisted.relays.client import RelayClient
from ockam_twisted.relays.names import NOTICES
from ockam_twisted.relays.notices import PER_CONNECTION, NoticeReader
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import MemoryNode
from ockam_twisted.wire.relay import COME, GONE, LEAVING, SENDING, Notice, encodeNotice
from tests.relays.common import Registrant, RelayTestCase

SHOP = Address.local("forward_to_shop")


class NoticesTests(RelayTestCase):
    """
    Who is told what.
    """

    def sender(self, name: str, node: MemoryNode | None = None) -> tuple[MemoryLink, list[Notice], NoticeReader]:
        """
        Somebody who says that it sends to the shop.
        """
        node = node or MemoryNode(self.network, name)
        link = node.connect(self.relay)
        told: list[Notice] = []
        reader = NoticeReader(node.router, link.route()[0], SHOP, told.append)
        self.assertTrue(verifyObject(IWorker, reader))
        self.network.pump()
        return link, told, reader

    def registrant(self, name: str = "bob") -> tuple[Registrant, list[Notice]]:
        """
        Who has the name of the shop, and knows notices.
        """
        bob, told = self.somebody(name), list[Notice]()
        client = RelayClient(bob.node.router, self.network.clock, bob.road, "shop", True, noticed=told.append)
        self.network.result(client.register())
        return bob, told

    def test_leaving(self) -> None:
        """
        A relay that is about to stop says so to registrants and senders that
        know notices, gives no more names, and goes on relaying.
        """
        bob, told = self.registrant()
        old = self.anybody("old")
        old.gets("market")
        _, heard, _ = self.sender("alice")
        self.service.drain()
        self.network.pump()
        self.assertEqual((told, heard), ([Notice(LEAVING)], [Notice(LEAVING)]))
        self.assertTrue(self.reaches(bob, "shop"))
        # Nobody sends to the market.
        self.assertEqual(self.service.inUse, 1)
        self.anybody("new").isRefused("office")
        # Who comes too late is told at once.
        self.assertEqual(self.sender("carol")[1], [Notice(LEAVING)])
        bob.cut()
        old.cut()
        self.assertEqual(self.service.inUse, 0)

    def test_registrantGone(self) -> None:
        """
        The connection in front of a name is lost: who sends there is told,
        and nobody else.
        """
        bob, _ = self.registrant()
        _, heard, _ = self.sender("alice")
        other = MemoryNode(self.network, "other")
        quiet: list[Notice] = []
        NoticeReader(other.router, other.connect(self.relay).route()[0], Address.local("forward_to_x"), quiet.append)
        self.network.pump()
        bob.cut()
        self.assertEqual(heard, [Notice(GONE, SHOP.value)])
        self.assertEqual(quiet, [Notice(GONE, b"forward_to_x")])

    def test_registrantCame(self) -> None:
        """
        Who wants to send to a name that nobody has is told so, and is told
        when somebody has come.
        """
        _, heard, _ = self.sender("alice")
        self.assertEqual(heard, [Notice(GONE, SHOP.value)])
        bob, _ = self.registrant()
        self.assertEqual(heard[1:], [Notice(COME, SHOP.value)])
        bob.cut()
        Registrant(self, "bob", True, bob.node).gets("shop", direct=True)
        self.assertEqual(heard[2:], [Notice(GONE, SHOP.value), Notice(COME, SHOP.value)])

    def test_takenOver(self) -> None:
        """
        A registrant comes anew over another connection: what it has over the
        old one, which may be dead without knowing, is not reached any more.
        """
        bob, _ = self.registrant()
        _, heard, _ = self.sender("alice")
        again = Registrant(self, "bob", True, bob.node)
        again.gets("shop", direct=True)
        self.assertEqual(heard, [Notice(GONE, SHOP.value), Notice(COME, SHOP.value)])
        again.gets("shop", direct=True)
        bob.cut()
        self.assertEqual(len(heard), 2)

    def test_senderGone(self) -> None:
        """
        The connection of a sender is lost: the registrant is told which, once
        something had come from there.
        """
        bob, told = self.registrant()
        bob.answers()
        assert bob.echo is not None
        for count in range(2):
            link, _, _ = self.sender(f"alice {count}")
            node = MemoryNode(self.network, f"app {count}")
            link = node.connect(self.relay)
            inbox = node.inbox("app")
            node.send(link.route("forward_to_shop", "echo"), b"x", inbox)
            self.network.pump()
            back = bob.echo.messages[-1].return_route
            link.cut()
            self.network.pump()
            self.assertEqual(told[count:], [Notice(GONE, back[1].value)])

    def test_forgotten(self) -> None:
        """
        Nothing is kept of who has gone.
        """
        link, _, _ = self.sender("alice")
        self.assertEqual(self.service._notices.senders, 1)
        link.cut()
        self.network.pump()
        self.assertEqual(self.service._notices.senders, 0)

    def test_bounded(self) -> None:
        """
        One connection may name so many, and the last is not told twice.
        """
        node = MemoryNode(self.network, "alice")
        link, told = node.connect(self.relay), list[Notice]()
        for number in range(3 * PER_CONNECTION):
            NoticeReader(node.router, link.route()[0], Address.local(f"forward_to_{number}"), told.append)
        self.network.pump()
        [names] = self.service._notices._senders.values()
        self.assertEqual(len(names), PER_CONNECTION)
        self.service.drain()
        self.network.pump()
        self.assertEqual(told[-1], Notice(LEAVING))
        self.assertEqual({each.kind for each in told[:-1]}, {GONE})
        self.assertEqual(len(told), PER_CONNECTION + 1)

    def test_wrong(self) -> None:
        """
        What is no such notice, or names a connection of somebody else for the
        answers, is ignored.
        """
        self.sender("victim")
        server = self.relay.transport.hops
        node = MemoryNode(self.network, "mallory")
        link = node.connect(self.relay)
        inbox = node.inbox("app")
        others = [each.address for each in server]
        good = encodeNotice(Notice(SENDING, SHOP.value))
        for payload, back in (
            (b"otw1\x01\x05a", ()),
            (encodeNotice(Notice(LEAVING)), ()),
            (b"hello", ()),
            (good, (Address.local("further"),)),
            *((good, (each,)) for each in others),
        ):
            with node.router.turn:
                route = link.route(NOTICES)
                message = LocalMessage(route, Route((*back, inbox.address)), payload)
                node.router.route(message, inbox.address)
            self.network.pump()
        self.assertEqual(len(self.service._notices._senders), 1)

    def test_reader(self) -> None:
        """
        A sender listens to its relay about its name; to nothing else.
        """
        link, told, reader = self.sender("alice")
        hop = next(
            each for each in self.relay.transport.hops if each.peer.endswith(str(self.network.links.index(link)))
        )
        inbox = self.relay.inbox("liar")
        told.clear()
        for payload in (b"otw1\x03\x05a", encodeNotice(Notice(GONE, b"forward_to_x")), encodeNotice(Notice(SENDING))):
            with self.relay.router.turn:
                route = Route((hop.address, reader.address))
                self.relay.router.route(LocalMessage(route, Route((inbox.address,)), payload), inbox.address)
            self.network.pump()
        self.assertEqual(told, [])
        reader.stop()
        self.service.drain()
        self.network.pump()
        self.assertEqual(told, [])
