"""
Tests of L{ockam_twisted.processes.link}: a relay of three processes, with
nodes at each of them.
"""

from __future__ import annotations

import random

from zope.interface import implementer

from ockam_twisted.interfaces import IWorker
from ockam_twisted.processes.far import FarConnection
from ockam_twisted.processes.link import Link
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import ADDRESS_WEIGHT, MAX_WEIGHT
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import NOBODY
from ockam_twisted.testing import Inbox
from ockam_twisted.transports.allowance import BURST
from ockam_twisted.transports.stalls import OWN_SECONDS
from ockam_twisted.wire.frames import encodeFrame
from ockam_twisted.wire.messages import encodeTransport
from tests.processes.common import HIGH_WATER, Peer, Process, ProcessesTestCase

_PIECE = b"x" * 8192


class ForwardTests(ProcessesTestCase):
    """
    What goes from one process to another.
    """

    def test_everyPair(self) -> None:
        """
        From each process a name at each other one is reached, and the answer
        comes back.
        """
        processes: list[Process] = [self.first, *self.others]
        for here in processes:
            for there in processes:
                outlet = Peer(self, f"outlet {here.number} {there.number}", there)
                outlet.register(f"name-{here.number}-{there.number}")
                service = outlet.answers()
                inlet = Peer(self, f"inlet {here.number} {there.number}", here)
                inlet.send(f"forward_to_name-{here.number}-{there.number}", "service")
                self.assertEqual(service.payloads, [b"hello"], f"from {here.number} to {there.number}")
                self.assertEqual(inlet.inbox.payloads, [b"hello"], f"from {there.number} to {here.number}")

    def test_sameRoutes(self) -> None:
        """
        Routes are what they are within one process: the peer is at its
        connection, with nothing in between; and what was answered once is
        reached without the name.
        """
        outlet = Peer(self, "outlet", self.others[0])
        outlet.register("blue")
        service = outlet.answers()
        inlet = Peer(self, "inlet", self.others[1])
        inlet.send("forward_to_blue", "service")
        back = service.messages[0].return_route
        self.assertEqual(back[1:], Route((inlet.hop.address, inlet.inbox.address)))
        answer = inlet.inbox.messages[0].return_route
        self.assertEqual(answer, inlet.link.route(outlet.hop.address, "service"))
        self.service.relays[Address.local("forward_to_blue")].stop()
        inlet.send(*answer[1:], payload=b"again")
        self.assertEqual(service.payloads, [b"hello", b"again"])

    def test_strangers(self) -> None:
        """
        A connection of another process is reached by those only who talk with
        it, also if somebody else learns its address.
        """
        outlet = Peer(self, "outlet", self.others[0])
        outlet.register("blue")
        service = outlet.answers()
        friend, stranger = (Peer(self, name, self.others[1]) for name in ("friend", "stranger"))
        friend.send("forward_to_blue", "service")
        stranger.send(outlet.hop.address, "service", payload=b"guess")
        stranger.send(friend.hop.address, "app", payload=b"guess")
        elsewhere = Peer(self, "elsewhere", self.first)
        elsewhere.send(outlet.hop.address, "service", payload=b"guess")
        elsewhere.send(friend.hop.address, "app", payload=b"guess")
        self.assertEqual(service.payloads, [b"hello"])
        self.assertEqual(friend.inbox.payloads, [b"hello"])

    def test_gone(self) -> None:
        """
        When a connection is lost it is gone in all processes, and so is its
        name; what is sent there goes nowhere, and asks nobody.
        """
        outlet = Peer(self, "outlet", self.others[0])
        outlet.register("blue")
        outlet.answers()
        inlet = Peer(self, "inlet", self.others[1])
        inlet.send("forward_to_blue", "service")
        hop = outlet.hop.address
        self.assertIsInstance(self.others[1].router.worker(hop), FarConnection)
        outlet.link.client.abortConnection()
        self.network.pump()
        for process in (self.first, *self.others):
            self.assertIsNone(process.router.worker(hop))
            self.assertIsNone(process.router.worker(Address.local("forward_to_blue")))
        before = self.first.router.dropped[NOBODY]
        inlet.send(hop, "service")
        inlet.send("forward_to_blue", "service")
        self.assertEqual(self.first.router.dropped[NOBODY], before)
        self.assertEqual(self.others[1].router.dropped[NOBODY], 2)

    def test_lost(self) -> None:
        """
        With a link everything behind it is gone; who is not behind it is
        reached as before.
        """
        outlet, near = Peer(self, "outlet", self.others[0]), Peer(self, "near", self.others[1])
        outlet.register("blue")
        near.register("green")
        near.answers()
        inlet = Peer(self, "inlet", self.others[1])
        inlet.send("forward_to_blue", "service")
        self.cut(1, 2)
        self.assertIsNone(self.others[1].router.worker(outlet.hop.address))
        self.assertNotIn(Address.local("forward_to_blue"), self.others[1].names.relays)
        inlet.send("forward_to_green", "service", payload=b"near")
        self.assertEqual(inlet.inbox.payloads, [b"near"])

    def test_nothingLeft(self) -> None:
        """
        Of connections that are over nothing is remembered.
        """
        for number in range(3):
            outlet, inlet = Peer(self, "outlet", self.others[0]), Peer(self, "inlet", self.others[1])
            outlet.register(f"blue{number}", outlet.prove())
            outlet.answers()
            inlet.send(f"forward_to_blue{number}", "service")
            for each in (outlet, inlet):
                each.link.client.abortConnection()
                self.network.pump()
        # The channel to the relay is over when it is noticed.
        self.listener.stopService()
        self.service.stopService()
        self.network.pump()
        for process in (self.first, *self.others):
            for link in process.links.values():
                self.assertEqual(link.far, {})
                self.assertEqual((len(link._exposed), link._asked, link._sources), (0, {}, {}))
                self.assertEqual(set(link._numbers) - {Address.local("")}, set())


@implementer(IWorker)
class Work:
    """
    A worker of the first process, for everybody, that takes long.
    """

    def __init__(self, case: ProcessesTestCase) -> None:
        self.done = 0
        self._clock = case.network.clock
        router = case.first.router
        router.register(Address.local("work"), self)
        router.flowControls.addConsumer(Address.local("work"), case.first.transport.listenerId)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        self.done += 1
        # As time passes while something is done: nothing else happens then.
        self._clock.rightNow += BURST / 4


class AskedTests(ProcessesTestCase):
    """
    What only the first process knows.
    """

    def test_channel(self) -> None:
        """
        Who proves an identity proves it to the first process, whichever it is
        connected with: the name is that identity's, and what comes for it
        comes over the connection alone.
        """
        outlet = Peer(self, "outlet", self.others[0])
        name = str(outlet.node.identifier)
        self.assertTrue(outlet.register(name, outlet.prove(), direct=True).direct)
        service = outlet.answers()
        inlet = Peer(self, "inlet", self.others[1])
        inlet.send(f"forward_to_{name}", "service")
        self.assertEqual(service.payloads, [b"hello"])
        claim = self.service.relays[Address.local(f"forward_to_{name}")].claim
        self.assertEqual((claim.proven, claim.forward_route), (name, Route((outlet.hop.address,))))
        thief = Peer(self, "thief", self.others[1])
        self.assertNoResult(thief.ask(name, thief.prove()))
        thief.clients[-1].stop()

    def test_throughChannel(self) -> None:
        """
        Who registers the plain way through a channel gets what comes for it
        through that channel, which the first process has.
        """
        outlet = Peer(self, "outlet", self.others[0])
        road = outlet.prove()
        outlet.register("blue", road)
        flowId = outlet.node.router.flowControls.producerId(road[0])
        assert flowId is not None
        service = outlet.node.inbox("service", flowId, echo=True)
        inlet = Peer(self, "inlet", self.others[1])
        inlet.send("forward_to_blue", "service")
        inlet.send("forward_to_blue", "service", payload=b"again")
        self.assertEqual(service.payloads, [b"hello", b"again"])
        self.assertEqual(inlet.inbox.payloads, [b"hello", b"again"])

    def test_unknown(self) -> None:
        """
        What nobody knows is dropped by the first process; what came over no
        connection is not even asked.
        """
        inlet = Peer(self, "inlet", self.others[0])
        inlet.send("nobody")
        inlet.send("nobody")
        self.assertEqual(self.first.router.dropped[NOBODY], 2)
        other = self.others[0]
        lost = LocalMessage(Route.of("nobody"), Route.of("somebody"), b"")
        self.assertIsNone(other.links[0].ask(lost))

    def test_allowance(self) -> None:
        """
        Who asks for more work than it may is read more slowly, at the process
        that it is connected with; nobody else is.
        """
        work = Work(self)
        greedy, modest = Peer(self, "greedy", self.others[0]), Peer(self, "modest", self.others[0])
        modest.send("work")
        for _ in range(20):
            greedy.send("work")
        self.assertLess(work.done, 10)
        self.assertTrue(greedy.link.server.isPaused)
        self.assertFalse(modest.link.server.isPaused)
        done = work.done
        modest.send("work")
        self.assertEqual(work.done, done + 1)
        self.network.advance(60)
        self.assertEqual(work.done, 22)
        self.assertFalse(greedy.link.server.isPaused)

    def test_allowanceOfChannel(self) -> None:
        """
        The same for who asks through a channel to the first process.
        """
        work = Work(self)
        self.first.router.flowControls.addConsumer(Address.local("work"), self.listener.flowId)
        greedy, modest = Peer(self, "greedy", self.others[0]), Peer(self, "modest", self.others[0])
        road = greedy.prove()
        for _ in range(20):
            greedy.node.send(road.append(Address.local("work")), b"x", greedy.inbox)
            self.network.pump()
        self.assertLess(work.done, 10)
        self.assertTrue(greedy.link.server.isPaused)
        modest.send("work")
        self.assertFalse(modest.link.server.isPaused)
        self.network.advance(60)
        self.assertEqual(work.done, 21)

    def test_closed(self) -> None:
        """
        A worker of the first process that is not for strangers is not reached
        through another process either.
        """
        secret = self.relay.inbox("secret")
        Peer(self, "stranger", self.others[0]).send("secret")
        Peer(self, "neighbour", self.first).send("secret")
        self.assertEqual(secret.payloads, [])

    def test_echo(self) -> None:
        """
        Each process answers pings itself, and not more often than one would.
        """
        inlet = Peer(self, "inlet", self.others[0])
        for _ in range(30):
            inlet.send("echo")
        self.assertEqual(len(inlet.inbox.payloads), 10)


class SlowTests(ProcessesTestCase):
    """
    Somebody does not read.
    """

    def setUp(self) -> None:
        super().setUp()
        self.slow, self.quick = Peer(self, "slow", self.others[0]), Peer(self, "quick", self.others[0])
        for name, peer in (("slow", self.slow), ("quick", self.quick)):
            peer.register(name)
            peer.answers()
        self.one, self.two = Peer(self, "one", self.others[1]), Peer(self, "two", self.others[1])
        self.slow.link.toClient.held = True

    def fill(self, peer: Peer) -> int:
        """
        Send to the slow one until the relay does not read any more.

        @return: How many bytes that took.
        """
        total = 0
        while not peer.link.server.isPaused and total < 10_000_000:
            peer.send("forward_to_slow", "service", payload=_PIECE)
            total += len(_PIECE)
        return total

    def test_heldBack(self) -> None:
        """
        Who sends to a slow one is paused, at the process that it is connected
        with, and little is queued; everybody else goes on, over the same
        link, and so does the slow one once it reads.
        """
        total = self.fill(self.one)
        self.assertLess(total, 4 * HIGH_WATER)
        self.assertFalse(self.two.link.server.isPaused)
        self.two.send("forward_to_quick", "service", payload=b"quick")
        self.assertEqual(self.two.inbox.payloads, [b"quick"])
        self.fill(self.two)
        self.assertTrue(self.two.link.server.isPaused)
        self.slow.link.toClient.held = False
        self.network.pump()
        self.assertFalse(self.one.link.server.isPaused or self.two.link.server.isPaused)
        self.assertEqual(len(self.one.inbox.payloads), total // len(_PIECE))

    def test_closed(self) -> None:
        """
        One that makes no progress while somebody it holds back serves others
        is closed; all else lives.
        """
        self.one.send("forward_to_quick", "service")
        self.fill(self.one)
        self.network.advance(15)
        self.assertFalse(self.slow.link.server.connected)
        self.assertFalse(self.one.link.server.isPaused)
        self.one.send("forward_to_quick", "service", payload=b"after")
        self.assertEqual(self.one.inbox.payloads, [b"hello", b"after"])

    def test_own(self) -> None:
        """
        One that holds back nobody but its own senders has more time, but not
        for ever.
        """
        self.fill(self.two)
        self.network.advance(OWN_SECONDS - 2)
        self.assertTrue(self.slow.link.server.connected)
        self.network.advance(4)
        self.assertFalse(self.slow.link.server.connected)

    def test_progress(self) -> None:
        """
        One that is slow but reads is not closed, whomever it holds back.
        """
        self.one.send("forward_to_quick", "service")
        self.fill(self.one)
        paused = 0
        for _ in range(40):
            # Four pieces a second: more than a stall, less than what waits.
            self.slow.link.toClient.held = False
            for _ in range(4):
                self.slow.link.toClient.deliver()
            self.slow.link.toClient.held = True
            self.network.advance(1)
            self.fill(self.one)
            paused += self.one.link.server.isPaused
        self.assertEqual(paused, 40)
        self.assertTrue(self.slow.link.server.connected)

    def test_senderGone(self) -> None:
        """
        Who is paused and goes is forgotten.
        """
        self.fill(self.one)
        self.one.link.client.abortConnection()
        self.network.pump()
        self.network.advance(3)
        self.slow.link.toClient.held = False
        self.network.pump()
        self.assertFalse(self.one.link.server.connected)

    def test_asked(self) -> None:
        """
        What is asked of the first process is held back, too, for each
        connection alone.
        """
        outlet = Peer(self, "outlet", self.others[0])
        outlet.register("through", outlet.prove())
        outlet.link.toClient.held = True
        road = self.one.prove()
        for _ in range(40):
            self.one.node.send(
                Route((*road, Address.local("forward_to_through"), Address.local("x"))), _PIECE, self.one.inbox
            )
            self.network.pump()
            if self.one.link.server.isPaused:
                break
        self.assertTrue(self.one.link.server.isPaused)
        self.two.send("forward_to_quick", "service")
        self.assertEqual(self.two.inbox.payloads, [b"hello"])
        outlet.link.toClient.held = False
        self.network.pump()
        self.assertFalse(self.one.link.server.isPaused)


class NumberTests(ProcessesTestCase):
    """
    Many flows.
    """

    def test_many(self) -> None:
        """
        Who makes up flows without end loses nothing, and costs others
        nothing.
        """
        outlet, inlet = Peer(self, "outlet", self.others[0]), Peer(self, "inlet", self.others[1])
        outlet.register("blue")
        service = outlet.answers()
        link = self.others[1].links[1]
        inlet.send("forward_to_blue", "service")
        [numbers] = link._numbers.values()
        numbers._maximum = 4
        other = Peer(self, "other", self.others[1])
        other.send("forward_to_blue", "service", payload=b"first")
        [its] = [each for each in link._numbers.values() if each is not numbers]
        for number in range(30):
            inlet.send("forward_to_blue", "service", f"{number}")
            inlet.send("forward_to_blue", "service", payload=b"%d" % number)
        other.send("forward_to_blue", "service", payload=b"last")
        self.assertEqual(its.epoch, 0)
        self.assertGreater(numbers.epoch, 5)
        self.assertLessEqual(len(numbers), 4)
        expected = [b"first", *(text for number in range(30) for text in (b"hello", b"%d" % number)), b"last"]
        self.assertEqual(service.payloads, [b"hello", *expected])
        known = self.others[0].links[2]._inbound
        self.assertLess(len(known.known), 10)

    def test_longRoutes(self) -> None:
        """
        Who makes up long routes does not have them held here or there, and loses nothing.
        """
        outlet, inlet = Peer(self, "outlet", self.others[0]), Peer(self, "inlet", self.others[1])
        outlet.register("blue")
        service = outlet.answers()
        most = MAX_WEIGHT // (30 * (255 + ADDRESS_WEIGHT))
        expected = []
        for number in range(2 * most):
            back = [Address.local(bytes((hop,)) * 255) for hop in range(29)]
            onward = [(0, b"forward_to_blue"), (0, b"service")]
            payload = b"%d" % number
            inlet.hop.dataReceived(encodeFrame(encodeTransport(onward, [(0, b"%d" % number), *back], payload)))
            expected.append(payload)
            self.network.pump()
            self.assertLessEqual(sum(map(len, self.others[1].links[1]._numbers.values())), most + 5)
            self.assertLessEqual(len(self.others[0].links[2]._inbound.known), most + 5)
        self.assertEqual(service.payloads, expected)

    def test_oneTurn(self) -> None:
        """
        What a turn has for flows whose numbers are taken back in the same
        turn is not lost.
        """
        outlet, inlet = Peer(self, "outlet", self.others[0]), Peer(self, "inlet", self.others[1])
        outlet.register("blue")
        service = outlet.answers()
        inlet.send("forward_to_blue", "service", payload=b"first")
        [numbers] = self.others[1].links[1]._numbers.values()
        numbers._maximum = 4
        router, hop = self.others[1].router, inlet.hop
        with router.turn:
            for number in range(30):
                back = Route((hop.address, Address.local(f"from {number}")))
                onward = Route.of("forward_to_blue", "service")
                router.route(LocalMessage(onward, back, b"%d" % number), hop.receiver)
        self.network.pump()
        self.assertEqual(service.payloads, [b"first", *(b"%d" % number for number in range(30))])


class WrongTests(ProcessesTestCase):
    """
    One of us goes wrong.
    """

    def test_nonsense(self) -> None:
        """
        A link that makes no sense is lost, on both sides; the log says so.
        """
        link = self.others[1].links[1]
        self.roads[2, 1].server.write(b"\0\0\0\1\x77")
        self.network.pump()
        self.assertTrue(link.hasFailed and link.isLost)
        self.assertNotIn(2, self.others[0].links)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_label(self) -> None:
        """
        For people, a link is called by where it leads.
        """
        made: Link = self.others[0].links[2]
        self.assertEqual(made.output.label, "the link to process 2")


class SameTests(ProcessesTestCase):
    """
    Several processes do what one does.
    """

    def script(self, count: int, seed: int) -> list[list[bytes]]:
        """
        Have peers do at random what peers do.

        @return: What has come to each of them, in order.
        """
        self.count = count
        super().setUp()
        chance = random.Random(seed)
        processes: list[Process] = [self.first, *self.others]
        peers: list[Peer] = []
        services: list[Inbox] = []
        for step in range(60):
            [what] = chance.choices(("come", "register", "send", "reply", "guess", "go"), (4, 6, 14, 4, 3, 1))
            where, which, name, many = chance.random(), chance.random(), chance.randrange(4), chance.randrange(1, 5)
            if what == "come" or not peers:
                peers.append(Peer(self, f"peer {len(peers)}", processes[int(where * count)]))
                services.append(peers[-1].answers())
                continue
            peer, other = peers[int(which * len(peers))], peers[int(where * len(peers))]
            if what == "register":
                peer.ask(f"name{name}").addErrback(lambda failure: None)
                self.network.pump()
            elif what == "send":
                for number in range(many):
                    peer.send(f"forward_to_name{name}", "service", payload=b"%d.%d" % (step, number))
            elif what == "reply" and peer.inbox.messages:
                # By the address that came with an answer, not by the name.
                back = peer.inbox.messages[-1].return_route
                peer.node.send(back, b"%d again" % step, peer.inbox)
                self.network.pump()
            elif what == "guess":
                peer.send(other.hop.address, "service", payload=b"%d guess" % step)
            elif what == "go":
                peer.link.client.abortConnection()
                self.network.pump()
            # Names that are nobody's are asked about for a while.
            if not step % 10:
                self.network.advance(4)
        self.network.advance(12)
        return [each.payloads for inbox in zip(services, (peer.inbox for peer in peers), strict=True) for each in inbox]

    def test_same(self) -> None:
        """
        Whatever peers do, to each comes what would come from a relay of one
        process, in the same order.
        """
        total = 0
        for seed in range(40):
            expected = self.script(1, seed)
            self.assertEqual(self.script(3, seed), expected, f"seed {seed}")
            total += sum(map(len, expected))
        self.assertGreater(total, 1000)
