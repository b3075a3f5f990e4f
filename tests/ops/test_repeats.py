"""
Tests of L{ockam_twisted.ops.repeats}.
"""

from __future__ import annotations

import gc
import threading
import weakref
from itertools import pairwise
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.python import log as legacy
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.records import asJSON
from ockam_twisted.ops.repeats import BURST, EVERY, FIRST, LONGEST, QUIET, Bucket, Repeats


class BucketTests(SynchronousTestCase):
    """
    A burst, then a rate.
    """

    def test_rate(self) -> None:
        """
        A burst is permitted, then one each so many seconds; what was not
        used is saved up to a burst.
        """
        bucket = Bucket(3, 2.0)
        self.assertEqual([bucket.take(0.0) for _ in range(5)], [True] * 3 + [False] * 2)
        self.assertEqual([bucket.take(2.0), bucket.take(2.0)], [True, False])
        self.assertEqual([bucket.take(1000.0) for _ in range(4)], [True] * 3 + [False])

    def test_clockSetBack(self) -> None:
        """
        A clock that was set back permits nothing more and nothing less.
        """
        bucket = Bucket(1, 2.0)
        self.assertEqual([bucket.take(1000.0), bucket.take(0.0), bucket.take(2.0)], [True, False, True])


class RepeatsTests(SynchronousTestCase):
    """
    What is repeated is said once.
    """

    def setUp(self) -> None:
        """
        Lines that were logged, each with the time.
        """
        self.clock = Clock()
        self.events: list[Any] = []
        self.lines: list[str] = []

        def observe(event: Any) -> None:
            self.events.append(event)
            self.lines.append(f"{self.clock.seconds():g} {formatEvent(event)}")

        self.repeats = Repeats(observe, self.clock)
        self.log = Logger(namespace="ockam_twisted.portals.x", observer=self.repeats)

    def denied(self, peer: str) -> None:
        """
        Log something.
        """
        self.log.warn("Denied: {peer}", peer=peer, event="stream-denied")

    def waiting(self, label: str, reason: str, delay: float = 1.0) -> None:
        """
        Log something else.
        """
        self.log.warn(
            "{label}: {reason}, {delay:g} s", label=label, reason=reason, delay=float(delay), event="session-waiting"
        )

    def test_doubling(self) -> None:
        """
        The same is said once, then how often, after ten seconds, twenty,
        forty; each time with the latest of them.
        """
        for second in range(100):
            self.waiting("it", "refused", second)
            self.clock.advance(1)
        self.assertEqual(
            self.lines,
            [
                "0 it: refused, 0 s",
                "10 it: refused, 9 s (9 more times in 10 s)",
                "30 it: refused, 29 s (20 more times in 20 s)",
                "70 it: refused, 69 s (40 more times in 40 s)",
            ],
        )
        self.assertEqual(self.events[1]["repeated"], 9)
        self.assertIn('"repeated": 9', asJSON(self.events[1]) or "")

    def test_sourceForgotten(self) -> None:
        """
        What has said it is not kept alive by what is remembered.
        """

        class Speaker:
            log = Logger(namespace="ockam_twisted.portals.x", observer=self.repeats)

        speaker = Speaker()
        for _ in range(2):
            speaker.log.warn("Denied: {peer}", peer="I1", event="stream-denied")
        alive = weakref.ref(speaker)
        self.events.clear()
        del speaker
        gc.collect()
        self.assertIsNone(alive())

    def test_longest(self) -> None:
        """
        Once an hour it is said in any case.
        """
        for _ in range(6 * 3600):
            self.denied("I1")
            self.clock.advance(1)
        times = [float(line.split()[0]) for line in self.lines]
        gaps = [after - before for before, after in pairwise(times)]
        self.assertEqual(max(gaps), LONGEST)

    def test_news(self) -> None:
        """
        What has not come for a while is news again, and nothing is kept
        waiting for it.
        """
        self.denied("I1")
        self.clock.advance(1)
        self.denied("I1")
        self.clock.advance(FIRST)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(QUIET)
        self.denied("I1")
        self.assertEqual(self.lines, ["0 Denied: I1", "11 Denied: I1 (1 more times in 11 s)", "311 Denied: I1"])

    def test_slow(self) -> None:
        """
        What comes again every half minute is said less and less often, and at
        once when it is time.
        """
        for _ in range(40):
            self.denied("I1")
            self.clock.pump([1] * 30)
        self.assertEqual([line.split()[0] for line in self.lines], ["0", "30", "60", "100", "180", "340", "660"])
        # That of the last second came after its line.
        self.assertEqual(sum(event.get("repeated", 0) for event in self.events), 660 // 30 - 1)

    def test_different(self) -> None:
        """
        Other fields, or another name, are another event; a measurement is
        not.
        """
        self.denied("I1")
        self.denied("I2")
        self.log.warn("Denied: {peer}", peer="I1", event="other-thing")
        self.log.warn("N {number}", number=1, event="numbered")
        self.log.warn("N {number}", number=2, event="numbered")
        self.assertEqual(len(self.lines), 5)

    def test_change(self) -> None:
        """
        Before something else is said of the same session, it is said how often
        it was what it was before; then that is news again.
        """
        self.waiting("it", "refused", 1)
        self.waiting("it", "refused", 2)
        self.waiting("that", "refused", 1)
        self.clock.advance(3)
        self.log.info("{label}: up", label="it", event="session-up")
        self.waiting("it", "refused", 3)
        self.assertEqual(
            self.lines,
            [
                "0 it: refused, 1 s",
                "0 that: refused, 1 s",
                "3 it: refused, 2 s (1 more times in 3 s)",
                "3 it: up",
                "3 it: refused, 3 s",
            ],
        )

    def test_strangers(self) -> None:
        """
        Thousands of different ones are some dozen lines, then a few; it is
        said how many were left out; what is kept of them is bounded; and
        afterwards all is as before.
        """
        for number in range(20_000):
            self.denied(f"I{number}")
            self.clock.advance(0.01)
        self.assertLess(len(self.lines), BURST + 200 / EVERY + 20)
        [kind] = self.repeats._kinds.values()
        self.assertLessEqual(len(kind.same), 16)
        self.clock.pump([10] * 100)
        said = [event["count"] for event in self.events if event.get("event") == "left-out"]
        shown = len([event for event in self.events if event.get("event") == "stream-denied"]) - len(said)
        self.assertEqual(sum(said) + shown, 20_000)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        before = len(self.lines)
        self.denied("somebody new")
        self.assertEqual(len(self.lines), before + 1)

    def test_othersAreHeard(self) -> None:
        """
        A flood of one kind of line takes nothing from another.
        """
        for number in range(1000):
            self.denied(f"I{number}")
        self.log.info("up", event="session-up")
        self.assertEqual(self.lines[-1], "0 up")

    def test_debug(self) -> None:
        """
        Who wants to see everything does.
        """
        for _ in range(200):
            self.log.debug("x", event="stream-allowed")
        self.assertEqual(len(self.lines), 200)

    def test_legacy(self) -> None:
        """
        Lines of other packages are told apart by their text.
        """
        publisher = legacy.LogPublisher()
        events: list[Any] = []
        publisher.addObserver(events.append)
        for text in ("one", "two", "one"):
            publisher.msg(text)
        for each in events:
            [text] = each["message"]
            self.repeats({**each, "log_namespace": "log_legacy", "log_format": "{log_text}", "log_text": text})
        self.clock.advance(FIRST)
        self.assertEqual(self.lines, ["0 one", "0 two", "10 one (1 more times in 10 s)"])

    def test_manyFormats(self) -> None:
        """
        Other packages' kinds of lines without end are not remembered.
        """
        log = Logger(namespace="elsewhere", observer=self.repeats)
        for number in range(2000):
            log.info(f"line {number}")
        self.assertLess(len(self.repeats._kinds), 400)

    def test_flush(self) -> None:
        """
        At the end it is said what was not said yet, and no timer is left.
        """
        for number in range(BURST + 5):
            self.denied(f"I{number}")
            self.denied(f"I{number}")
        self.repeats.flush()
        self.assertIn("more times", self.lines[-3] + self.lines[-4])
        self.assertIn("were left out", self.lines[-2])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.repeats.flush()

    def test_clockSetBack(self) -> None:
        """
        After the clock was set back repetitions are still said in time.
        """
        self.clock.advance(100_000)
        self.denied("I1")
        self.clock.rightNow -= 50_000
        self.denied("I1")
        self.clock.advance(FIRST)
        self.assertEqual(len(self.lines), 2)

    def test_thread(self) -> None:
        """
        What another thread logs is passed on.
        """
        thread = threading.Thread(target=lambda: [self.denied("I1") for _ in range(3)])
        thread.start()
        thread.join()
        self.assertEqual(len(self.lines), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])
