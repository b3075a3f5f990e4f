"""
Tests of L{ockam_twisted.processes.names}.
"""

from __future__ import annotations

from ockam_twisted.processes.names import NameTable
from ockam_twisted.relays.client import RelayClient
from ockam_twisted.relays.notices import NoticeReader
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.wire.relay import GONE, LEAVING, Notice
from tests.processes.common import Peer, ProcessesTestCase

BLUE = Address.local("forward_to_blue")


class DirectoryTests(ProcessesTestCase):
    """
    Who knows which names.
    """

    def test_everybodyKnows(self) -> None:
        """
        A registrant hears of its name once every process knows it.
        """
        slow = self.others[1]
        slow.isSlow = True
        outlet = Peer(self, "outlet", self.others[0])
        asking = outlet.ask("blue")
        self.network.pump()
        self.assertNoResult(asking)
        self.assertIn(BLUE, self.service.relays)
        slow.read()
        self.network.pump()
        self.assertEqual(self.successResultOf(asking).name, "blue")
        self.assertEqual(set(slow.names.relays), {BLUE})

    def test_goneMeanwhile(self) -> None:
        """
        Nobody waits for a process that has ended.
        """
        self.others[1].isSlow = True
        outlet = Peer(self, "outlet", self.others[0])
        asking = outlet.ask("blue")
        self.network.pump()
        self.directory.leave(2)
        self.network.pump()
        self.assertEqual(self.successResultOf(asking).name, "blue")

    def test_takenMeanwhile(self) -> None:
        """
        Who has lost its name again before everybody knew hears nothing of
        it.
        """
        slow = self.others[1]
        slow.isSlow = True
        first, second = Peer(self, "first", self.others[0]), Peer(self, "second", slow)
        one = first.ask("blue")
        self.network.pump()
        two = second.ask("blue")
        self.network.pump()
        slow.read()
        self.network.pump()
        self.assertEqual(self.successResultOf(two).name, "blue")
        self.assertNoResult(one)
        first.clients[-1].stop()

    def test_new(self) -> None:
        """
        A process that is new learns all names there are.
        """
        outlet = Peer(self, "outlet", self.others[0])
        outlet.register("blue")
        said: list[bytes] = []
        self.directory.leave(2)
        self.directory.listen(2, said.append)
        self.assertEqual(len(said), 1)
        self.assertIn(b"forward_to_blue", said[0])
        self.assertEqual(self.directory.processOf(BLUE), 1)
        self.assertIsNone(self.directory.processOf(Address.local("forward_to_green")))

    def test_moved(self) -> None:
        """
        A name that leads to another process is followed at once, in both
        directions, by whoever sends there.
        """
        first = Peer(self, "first", self.others[0])
        name = str(first.node.identifier)
        first.register(name, first.prove(), direct=True)
        here = first.answers()
        inlet = Peer(self, "inlet", self.others[1])
        inlet.send(f"forward_to_{name}", "service", payload=b"one")
        # The same node, over another connection, at another process.
        self.network.result(first.node.transport.connect(self.network.endpoint("process 0")))
        first.link = self.network.links[-1]
        first.register(name, first.prove(), direct=True)
        flowId = first.node.router.flowControls.producerId(first.link.route()[0])
        assert flowId is not None
        first.node.router.flowControls.addConsumer(here.address, flowId)
        self.assertEqual(self.directory.processOf(Address.local(f"forward_to_{name}")), 0)
        inlet.send(f"forward_to_{name}", "service", payload=b"two")
        self.assertEqual(here.payloads, [b"one", b"two"])
        self.assertEqual(here.messages[1].return_route[0], first.link.route()[0])
        self.assertEqual(inlet.inbox.payloads, [b"one", b"two"])

    def test_removed(self) -> None:
        """
        A name that is taken back is nowhere any more.
        """
        Peer(self, "outlet", self.others[0]).register("blue")
        self.service.stopService()
        for other in self.others:
            self.assertEqual(other.names.relays, {})
            self.assertIsNone(other.router.worker(BLUE))
        self.directory.removed(BLUE)

    def test_senders(self) -> None:
        """
        Who sends to a name is known to the first process, wherever they are,
        and who does no more.
        """
        outlet = Peer(self, "outlet", self.others[0])
        outlet.register("blue")
        outlet.answers()
        relay = self.service.relays[BLUE]
        inlets = [Peer(self, f"inlet {each.number}", each) for each in (self.first, *self.others)]
        for count, inlet in enumerate(inlets, 1):
            inlet.send("forward_to_blue", "service")
            inlet.send("forward_to_blue", "service")
            self.assertEqual(relay.senders, count)
        self.assertEqual(self.service.inUse, 1)
        inlets[1].link.client.abortConnection()
        self.network.pump()
        self.assertEqual(relay.senders, 2)
        self.directory.leave(2)
        self.assertEqual(relay.senders, 1)
        inlets[0].link.client.abortConnection()
        self.network.pump()
        self.assertEqual(self.service.inUse, 0)
        self.directory.sends(1, Address.local("forward_to_green"), BLUE, False)

    def test_notices(self) -> None:
        """
        A registrant hears of a sender that is gone, a sender of a registrant,
        and both of a relay that is about to stop, at whichever process they
        are.
        """
        outlet, inlet = Peer(self, "outlet", self.others[0]), Peer(self, "inlet", self.others[1])
        heard: list[Notice] = []
        client = RelayClient(outlet.node.router, self.network.clock, outlet.link.route(), "blue", noticed=heard.append)
        self.network.result(client.register())
        outlet.answers()
        told: list[Notice] = []
        NoticeReader(inlet.node.router, inlet.link.route()[0], BLUE, told.append)
        inlet.send("forward_to_blue", "service")
        self.service.drain()
        self.network.pump()
        self.assertEqual(([each.kind for each in heard], [each.kind for each in told]), ([LEAVING], [LEAVING]))
        lost = inlet.hop.address
        outlet.link.client.abortConnection()
        self.network.pump()
        self.assertEqual(told[1:], [Notice(GONE, BLUE.value)])
        self.assertIsNotNone(self.first.router.worker(lost))

    def test_senderGone(self) -> None:
        """
        A registrant hears of a sender that is gone, wherever that was.
        """
        outlet, inlet = Peer(self, "outlet", self.others[0]), Peer(self, "inlet", self.others[1])
        heard: list[Notice] = []
        client = RelayClient(outlet.node.router, self.network.clock, outlet.link.route(), "blue", noticed=heard.append)
        self.network.result(client.register())
        outlet.answers()
        inlet.send("forward_to_blue", "service")
        lost = inlet.hop.address
        inlet.link.client.abortConnection()
        self.network.pump()
        self.assertEqual(heard, [Notice(GONE, lost.value)])

    def test_quotas(self) -> None:
        """
        Who may have how many names counts over all processes.
        """
        one = Peer(self, "one", self.others[0])
        road = one.prove()
        for number in range(4):
            one.register(f"name{number}", road)
        self.network.result(one.node.transport.connect(self.network.endpoint("process 2")))
        one.link = self.network.links[-1]
        self.assertNoResult(one.ask("name4", one.prove()))
        one.clients[-1].stop()


class NameTableTests(ProcessesTestCase):
    """
    What another process makes of names.
    """

    def test_going(self) -> None:
        """
        A name of a process or connection that is gone is not taken.
        """
        table: NameTable = self.others[0].names
        for owner in (1, 2, 9):
            table.set(BLUE, Route.of("nobody"), owner, "who")
            self.network.pump()
            self.assertEqual(table.relays, {})
            self.assertIsNone(self.others[0].router.worker(BLUE))

    def test_taken(self) -> None:
        """
        An address that is taken stays whose it is.
        """
        outlet = Peer(self, "outlet", self.others[0])
        inbox = Peer(self, "other", self.others[0]).inbox
        self.others[0].router.register(BLUE, inbox)
        self.others[0].names.set(BLUE, Route((outlet.hop.address,)), 1, "who")
        self.assertIs(self.others[0].router.worker(BLUE), inbox)
        self.assertEqual(self.others[0].names.relays, {})
