"""
Faults that last, and faults that come at random.
"""

from __future__ import annotations

import random
import signal
import time

from tests.scenarios.faults import FaultTestCase

#: Seconds in which a dead peer is noticed, and what a busy machine adds.
NOTICED, SLACK = 30.0, 5.0

#: Seconds until the next attempt is made, at most, and what one takes.
LONGEST_DELAY, ATTEMPT = 30.0, 15.0

#: Seconds for which everything is slow.
SLOW = 90.0

#: Seconds for which things happen at random.
RANDOM = 180.0


class BlackholeTests(FaultTestCase):
    """
    Packets are swallowed silently, for long.
    """

    options = ("--resume-timeout", "180")

    def _swallow(self, seconds: float) -> None:
        self.begin()
        relay = self.programs["relay"].openFiles()
        self.change(closed=True)
        began = time.monotonic()
        noticed: dict[str, float] = {}

        def look() -> bool:
            for host in ("inlet", "outlet"):
                if ": down after " in self.programs[host].text():
                    noticed.setdefault(host, time.monotonic() - began)
            if self.programs["relay"].openFiles() <= relay - 2:
                noticed.setdefault("relay", time.monotonic() - began)
            return len(noticed) == 3

        self.until(look, "inlet, outlet and relay notice", NOTICED + SLACK)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        self.change(closed=False)
        back = self.goOn(LONGEST_DELAY + ATTEMPT + SLACK)
        self.finish()
        words = ", ".join(f"{host} {took:.0f} s" for host, took in noticed.items())
        self.report(f"nothing passed for {seconds:.0f} s: noticed by {words}; went on {back:.1f} s later")

    def test_two_minutes(self) -> None:
        """
        Two minutes of total packet loss are a pause and nothing else.
        """
        self._swallow(120)

    def test_noticed(self) -> None:
        """
        All three notice within half a minute.
        """
        self._swallow(45)


class SlowTests(FaultTestCase):
    """
    An inlet that is connected by 64 kbit/s.
    """

    # An answer waits behind what the first clients get: half a minute.
    inletOptions = ("--connect-timeout", "120")

    def _slow(self, up: float, down: float) -> None:
        """
        Eight clients send or receive as much as they can.  The queue before
        the slow road is as long as such queues are.
        """
        self.begin(0)
        self.roads["inlet"].change(rate=8000, delay=0.05, queue=250_000)
        for _ in range(8):
            self.add(up, down)
        began = time.monotonic()
        while time.monotonic() - began < SLOW:
            time.sleep(1)
            self.check()
        # The way stays up although a ping takes half a minute and more.
        self.assertNotIn(": down after ", self.programs["inlet"].text())
        self.assertGreater(sum(flow.received for flow in self.flows), 8000 * SLOW / 3)
        self.report(f"64 kbit/s for {SLOW:.0f} s")
        # What waits in buffers would take many minutes.
        self.roads["inlet"].change(rate=0, delay=0.0)
        self.finish()

    def test_upload(self) -> None:
        """
        Clients send.
        """
        self._slow(1e9, 0)

    def test_download(self) -> None:
        """
        Clients receive.
        """
        self._slow(0, 1e9)


class RandomTests(FaultTestCase):
    """
    Processes are killed and stopped at random.
    """

    options = ("--resume-timeout", "120")
    inletOptions = ("--connect-timeout", "120")

    def test_random(self) -> None:
        """
        Transfers outlive all that is done to the relay, and all stops.  When
        an end is killed they end, soon, and until then every byte was right.
        """
        chance = random.Random(self.seed)
        self.begin(4, 200_000)
        counts = {"stop": 0, "relay": 0, "inlet": 0, "outlet": 0}
        until = time.monotonic() + RANDOM
        while time.monotonic() < until:
            what = chance.choices(list(counts), (6, 6, 1, 1))[0]
            counts[what] += 1
            if what == "stop":
                host = chance.choice(("relay", "inlet", "outlet"))
                self.signal(host, signal.SIGSTOP)
                time.sleep(chance.uniform(0.1, 8))
                self.signal(host, signal.SIGCONT)
            else:
                self.kill(what)
                time.sleep(chance.uniform(0, 2))
                self.launch(what)
            if what in ("inlet", "outlet"):
                self._replace()
            time.sleep(chance.uniform(0, 3))
            self.check()
        self.goOn(90)
        self.finish()
        self.report(f"at random for {RANDOM:.0f} s: {counts}")

    def _replace(self) -> None:
        """
        One end was killed: the transfers end, and others begin.
        """
        old = list(self.transfers.all)
        self.transfers.all.clear()
        for _ in range(4):
            self.add(200_000)
        self.until(lambda: all(each.isOver for each in old), f"what was ended ends (seed {self.seed})", 60)
        for each in old:
            self.assertNotIn("WRONG", str(each.errors))
            for flow in (each.up, each.down):
                self.assertLessEqual(flow.received, flow.sent)
