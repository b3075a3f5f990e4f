"""
Tests for L{ockam_twisted.transports.blelink}; in memory, in asyncio loops of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.blelink import HIGH, KEPT, BLEAddress, BLELink
from ockam_twisted.wire.ble import MAX_MESSAGE, WINDOW, Window, fragments


class Behind:
    """
    What is behind a link: keeps what comes.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.reason: Failure | None = None
        self.pauses: list[str] = []

    def makeConnection(self, transport: Any) -> None:
        transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self.messages.append(data)

    def pauseProducing(self) -> None:
        self.pauses.append("pause")

    def resumeProducing(self) -> None:
        self.pauses.append("resume")

    def connectionLost(self, reason: Failure) -> None:
        self.reason = reason


class Pair:
    """
    Two links that reach each other.

    @ivar longest: The longest fragment that went over.
    @ivar isJammed: Does nothing get through for now?
    @ivar onTheWay: Fragments in controllers that are slow, if they are.
    """

    def __init__(self, isAgreed: bool) -> None:
        self.longest = 0
        self.isJammed = False
        self.onTheWay: list[bytes] | None = None
        self.links: list[BLELink] = []
        self.behinds = [Behind(), Behind()]
        for other in (1, 0):
            self.links.append(self._link(other))
        if isAgreed:
            for link in self.links:
                link.agreementReceived(Window.hello(517))
        for link, behind in zip(self.links, self.behinds, strict=True):
            link.begin(behind)

    def _link(self, other: int) -> BLELink:
        async def send(data: bytes) -> None:
            while self.isJammed:
                await asyncio.sleep(0)
            self.longest = max(self.longest, len(data))
            if self.onTheWay is not None:
                self.onTheWay.append(data)
                return
            self.links[other].fragmentReceived(data)

        async def say(data: bytes) -> None:
            self.links[other].agreementReceived(data)

        async def drain() -> None:
            while self.onTheWay:
                await asyncio.sleep(0)

        def disconnect() -> None:
            self.onTheWay = None
            for link in self.links:
                asyncio.get_running_loop().call_soon(link.lost)

        return BLELink(BLEAddress("otter"), send, say, drain, disconnect, lambda: 517)


async def settle() -> None:
    """
    Whatever can happen now, happens.
    """
    for _ in range(3000):
        await asyncio.sleep(0)


class LinkTests(SynchronousTestCase):
    """
    Tests for L{BLELink}.
    """

    def run_(self, doing: Coroutine[Any, Any, None]) -> None:
        """
        Do it, within 20 seconds.
        """
        asyncio.run(asyncio.wait_for(doing, 20))

    def test_messages(self) -> None:
        """
        Messages arrive as they are, in order and both ways, with a peer of ours and with
        others, whose fragments are short.
        """

        async def doing(isAgreed: bool) -> None:
            pair = Pair(isAgreed)
            sent = [bytes([number % 256]) * (number * 7 % MAX_MESSAGE + 1) for number in range(3 * WINDOW)]
            for message in sent:
                pair.links[0].write(message)
                pair.links[1].write(message[::-1])
            while len(pair.behinds[0].messages) < len(sent) or len(pair.behinds[1].messages) < len(sent):
                await asyncio.sleep(0)
            self.assertEqual(pair.behinds[1].messages, sent)
            self.assertEqual(pair.behinds[0].messages, [each[::-1] for each in sent])
            self.assertEqual(pair.longest, 512 if isAgreed else 18)
            self.assertEqual(pair.links[0].getPeer().name, "otter")
            pair.links[0].abortConnection()

        for isAgreed in (True, False):
            self.run_(doing(isAgreed))

    def test_window(self) -> None:
        """
        A hop that wants nothing gets nothing, and no more than a window is sent to it;
        whoever writes is told to stop, and may go on once it wants something again.
        """

        async def doing() -> None:
            pair = Pair(True)
            pair.links[1].pauseProducing()
            count = 0
            while not pair.behinds[0].pauses:
                pair.links[0].write(bytes([count % 256]) * MAX_MESSAGE)
                count += 1
                await asyncio.sleep(0)
            await settle()
            self.assertEqual(pair.behinds[1].messages, [])
            self.assertEqual(pair.behinds[0].pauses, ["pause"])
            self.assertLessEqual(count, WINDOW + HIGH // MAX_MESSAGE + 1)
            pair.links[1].resumeProducing()
            while len(pair.behinds[1].messages) < count:
                await asyncio.sleep(0)
            self.assertEqual(pair.behinds[0].pauses, ["pause", "resume"])
            pair.links[0].abortConnection()

        self.run_(doing())

    def test_flood(self) -> None:
        """
        Who sends on and on to a hop that wants nothing is let go.
        """

        async def doing() -> None:
            pair = Pair(False)
            pair.links[1].pauseProducing()
            for _ in range(KEPT // MAX_MESSAGE + 1):
                for fragment in fragments(bytes(MAX_MESSAGE), 512):
                    pair.links[1].fragmentReceived(fragment)
            self.assertIsNotNone(pair.behinds[1].reason)

        self.run_(doing())

    def test_garbage(self) -> None:
        """
        Who does not keep to the protocol is let go.
        """

        async def doing() -> None:
            for wrong in (b"garbage!", b"x" * 500, b""):
                pair = Pair(True)
                pair.links[1].fragmentReceived(wrong)
                self.assertIsNotNone(pair.behinds[1].reason)
            pair = Pair(True)
            pair.links[1].agreementReceived(b"\xff\xff\xff\xff")
            self.assertIsNotNone(pair.behinds[1].reason)

        self.run_(doing())

    def test_before(self) -> None:
        """
        What comes before there is a hop is kept for it.
        """

        async def doing() -> None:
            async def nowhere(data: bytes) -> None:
                pass

            link = BLELink(BLEAddress("otter"), nowhere, nowhere, settle, lambda: None, lambda: 23)
            for fragment in fragments(b"early"):
                link.fragmentReceived(fragment)
            behind = Behind()
            link.begin(behind)
            self.assertEqual(behind.messages, [b"early"])
            link.abortConnection()

        self.run_(doing())

    def test_end(self) -> None:
        """
        What was written arrives before the end; both hear of it, once, and nothing comes after it.
        """

        async def doing() -> None:
            pair = Pair(True)
            pair.isJammed = True
            for _ in range(10):
                pair.links[0].write(b"last words")
            pair.links[0].loseConnection()
            pair.links[0].write(b"never")
            await settle()
            self.assertIsNone(pair.behinds[0].reason)
            pair.isJammed = False
            await settle()
            self.assertEqual(pair.behinds[1].messages, [b"last words"] * 10)
            for behind in pair.behinds:
                self.assertIsNotNone(behind.reason)
            pair.links[0].lost()

        self.run_(doing())

    def test_slowController(self) -> None:
        """
        The end does not overtake what the controller has not sent yet.
        """

        async def doing() -> None:
            pair = Pair(True)
            pair.onTheWay = slow = []
            for _ in range(10):
                pair.links[0].write(b"last words")
            pair.links[0].loseConnection()
            await settle()
            self.assertIsNone(pair.behinds[0].reason)
            while slow:
                pair.links[1].fragmentReceived(slow.pop(0))
            await settle()
            self.assertEqual(pair.behinds[1].messages, [b"last words"] * 10)
            for behind in pair.behinds:
                self.assertIsNotNone(behind.reason)

        self.run_(doing())

    def test_endWhilePaused(self) -> None:
        """
        Who wants nothing when the peer ends hears of it once he has taken what came before.
        """

        async def doing() -> None:
            pair = Pair(True)
            pair.links[1].pauseProducing()
            for _ in range(3):
                pair.links[0].write(b"last words")
            pair.links[0].loseConnection()
            await settle()
            self.assertIsNotNone(pair.behinds[0].reason)
            self.assertEqual((pair.behinds[1].messages, pair.behinds[1].reason), ([], None))
            pair.links[1].resumeProducing()
            self.assertEqual(pair.behinds[1].messages, [b"last words"] * 3)
            self.assertIsNotNone(pair.behinds[1].reason)

        self.run_(doing())

    def test_endsWhatIsOver(self) -> None:
        """
        Who is paused, and ends what the peer has ended, hears of the end at once.
        """

        async def doing(end: str) -> None:
            pair = Pair(True)
            pair.links[1].pauseProducing()
            pair.links[0].write(b"last words")
            pair.links[0].loseConnection()
            await settle()
            getattr(pair.links[1], end)()
            self.assertEqual(pair.behinds[1].messages, [])
            self.assertIsNotNone(pair.behinds[1].reason)

        self.run_(doing("loseConnection"))
        self.run_(doing("abortConnection"))

    def test_beginAfterTheEnd(self) -> None:
        """
        A hop that comes when the connection is gone already hears so.
        """

        async def doing() -> None:
            async def nowhere(data: bytes) -> None:
                raise AssertionError("there is nobody")

            link = BLELink(BLEAddress("otter"), nowhere, nowhere, settle, lambda: None, lambda: 23)
            link.lost()
            behind = Behind()
            link.begin(behind)
            self.assertIsNotNone(behind.reason)

        self.run_(doing())

    def test_abort(self) -> None:
        """
        An end at once does not wait for anybody.
        """

        async def doing() -> None:
            pair = Pair(True)
            pair.isJammed = True
            pair.links[0].write(b"never")
            pair.links[0].abortConnection()
            self.assertIsNotNone(pair.behinds[0].reason)
            await settle()
            self.assertEqual(pair.behinds[1].messages, [])

        self.run_(doing())
