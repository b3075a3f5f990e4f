"""
Tests for L{ockam_twisted.channels.inward}: who pays for what is asked for
through a channel.  What records mean is in L{tests.channels.test_channel}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import SecureChannelListener
from ockam_twisted.errors import IdentityRefused
from ockam_twisted.identity.credentials import VerifiedCredential
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import AnyTrust, TrustEveryone, TrustIdentifier, TrustIdentifiers
from ockam_twisted.interfaces import Buffer, IBounded, IFlowReceiver, IWorker, PayloadReceiver
from ockam_twisted.memory import MemoryLink
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.testing import MemoryNode
from ockam_twisted.transports.allowance import LONGEST
from ockam_twisted.wire.channel import ChannelRefresh
from tests.channels.common import ChannelTestCase

#: Seconds that everything takes here, and how often it may be asked for.
LONG, TIMES = 0.1, 2


@implementer(IWorker)
class Laborious:
    """
    A worker that needs long for each message.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.payloads: list[bytes] = []

    def messageReceived(self, message: LocalMessage) -> None:
        self.payloads.append(message.payload)
        self.clock.rightNow += LONG


@implementer(IBounded)
class Bounded(Laborious):
    """
    One that has its own limits.
    """


@implementer(IFlowReceiver)
class Prepared(Laborious):
    """
    One that prepares for flows.
    """

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        def receive(pieces: Sequence[Buffer], size: int) -> None:
            self.payloads.append(b"".join(pieces))
            self.clock.rightNow += LONG

        return receive


class _Case(ChannelTestCase):
    """
    Something is asked of Bob through a channel.
    """

    def work(self, worker: Any) -> Any:
        """
        Put a worker behind the channels of Bob's listener.
        """
        address = Address.local("work")
        self.bob.router.register(address, worker)
        for flowId in (self.listener.flowId, self.listener.enrolmentFlowId):
            self.bob.router.flowControls.addConsumer(address, flowId)
        return worker

    def ask(self, channel: SecureChannel, times: int, node: MemoryNode | None = None) -> None:
        """
        Send so many messages to it, each in a record of its own, from the
        same place.
        """
        node = node or self.alice
        address = Address.local("asks")
        source: Any = node.router.worker(address) or node.inbox("asks")
        for _ in range(times):
            node.send(Route((channel.encryptor, Address.local("work"))), b"x", source)
        self.network.pump()

    def isHeldBack(self, link: MemoryLink | None = None) -> bool:
        """
        Is a connection, Alice's, not read from?
        """
        return (link or self.hop).server.isPaused

    def verifySlowly(self, theirs: SecureChannel) -> list[ChannelRefresh]:
        """
        @return: What a channel will have verified, each in a long time.
        """
        verified: list[ChannelRefresh] = []

        def verify(identifier: Identifier, message: ChannelRefresh) -> VerifiedCredential | None:
            verified.append(message)
            self.network.clock.rightNow += LONG
            raise IdentityRefused("it proves nothing")

        theirs.standing._verify = verify
        return verified


class StrangerTests(_Case):
    """
    Anybody can have a channel.
    """

    def listen(self) -> SecureChannelListener:
        return self.bob.listen(TrustEveryone())

    def test_worker(self) -> None:
        """
        Who asks a worker for much through a channel is read more slowly, by
        the connection that the channel came by; others are not.
        """
        worker = self.work(Laborious(self.network.clock))
        other = MemoryNode(self.network, "other")
        link = other.connect(self.bob)
        modest = self.network.result(other.createChannel(link.route("api"), TrustEveryone()))
        mine, _ = self.channel()
        self.ask(mine, TIMES)
        self.assertFalse(self.isHeldBack())
        self.ask(mine, 1)
        self.assertTrue(self.isHeldBack())
        self.ask(modest, 1, other)
        self.assertEqual(len(worker.payloads), TIMES + 2)
        self.assertFalse(self.isHeldBack(link))
        self.network.advance(LONGEST)
        self.assertFalse(self.isHeldBack())

    def test_direct(self) -> None:
        """
        What a worker has prepared for costs nothing.
        """
        worker = self.work(Prepared(self.network.clock))
        mine, _ = self.channel()
        self.ask(mine, 50)
        self.assertEqual(len(worker.payloads), 50)
        self.assertFalse(self.isHeldBack())

    def test_bounded(self) -> None:
        """
        A worker with limits of its own is asked as often as it lets itself be
        asked.
        """
        worker = self.work(Bounded(self.network.clock))
        mine, _ = self.channel()
        self.ask(mine, 50)
        self.assertEqual(len(worker.payloads), 50)
        self.assertFalse(self.isHeldBack())

    def test_finding(self) -> None:
        """
        Finding where messages go is paid for, also if there is nobody.
        """
        mine, theirs = self.channel()
        open_, clock = self.bob.router.open, self.network.clock

        def slowly(onward: Route, back: Route, source: Address, *info: Any) -> Any:
            if source == theirs.decryptor:
                clock.rightNow += LONG
            return open_(onward, back, source, *info)

        self.bob.router.open = slowly  # type: ignore[method-assign]
        source = self.alice.inbox("source")
        for number in range(TIMES + 1):
            self.assertFalse(self.isHeldBack())
            self.alice.send(Route((mine.encryptor, Address.local(f"nobody {number}"))), b"x", source)
            self.network.pump()
        self.assertTrue(self.isHeldBack())

    def test_refresh(self) -> None:
        """
        What the peer says of the channel itself is paid for, too, also if it
        makes no sense.
        """
        mine, theirs = self.channel()
        verified = self.verifySlowly(theirs)
        for _ in range(TIMES + 1):
            self.assertFalse(self.isHeldBack())
            mine.presentCredential(b"\x80", b"")
            self.network.pump()
        self.assertEqual(len(verified), TIMES + 1)
        self.assertTrue(self.isHeldBack())

    def test_oneOfSeveral(self) -> None:
        """
        It makes no difference that somebody would be let in anyway.
        """
        self.listener.trustNow(AnyTrust(TrustIdentifier(self.alice.identifier), TrustEveryone()))
        self.work(Laborious(self.network.clock))
        mine, _ = self.channel()
        self.ask(mine, TIMES + 1)
        self.assertTrue(self.isHeldBack())


class LetInTests(_Case):
    """
    Only who is let in has a channel.
    """

    def test_worker(self) -> None:
        """
        It may ask for as much as it likes.
        """
        worker = self.work(Laborious(self.network.clock))
        mine, theirs = self.channel()
        self.ask(mine, 50)
        self.verifySlowly(theirs)
        for _ in range(TIMES + 1):
            mine.presentCredential(b"\x80", b"")
        self.network.pump()
        self.assertEqual(len(worker.payloads), 50)
        self.assertFalse(self.isHeldBack())


class EnrolmentTests(_Case):
    """
    Nobody has a channel but to enrol.
    """

    def listen(self) -> SecureChannelListener:
        return self.bob.listen(
            TrustIdentifiers([]), enrolment=TrustEveryone(), enrolmentWorkers=(Address.local("work"),)
        )

    def setUp(self) -> None:
        super().setUp()
        self.mine = self.network.result(self.create())
        [self.theirs] = self.listener._enrolling

    def test_worker(self) -> None:
        """
        What is asked for to enrol is paid for.
        """
        self.work(Laborious(self.network.clock))
        self.ask(self.mine, TIMES)
        self.assertFalse(self.isHeldBack())
        self.ask(self.mine, 1)
        self.assertTrue(self.isHeldBack())

    def test_refresh(self) -> None:
        """
        Credentials are not even looked at, and the channel goes on.
        """
        verified = self.verifySlowly(self.theirs)
        worker = self.work(Laborious(self.network.clock))
        self.mine.presentCredential(self.alice.party.identity.history.encode(), b"")
        self.ask(self.mine, 1)
        self.assertEqual((verified, len(worker.payloads), self.lines()), ([], 1, []))
