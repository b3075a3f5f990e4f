"""
Ten minutes of everything that a network does, and the memory of the processes
meanwhile.
"""

from __future__ import annotations

import random
import signal
import statistics
import time
from collections.abc import Callable

from tests.scenarios.objects import CountedTestCase
from tests.scenarios.processes import PATIENCE
from tests.scenarios.transfers import Transfer

SOAK = 600.0

HOSTS = ("inlet", "relay", "outlet")

#: Seconds between two looks at the memory, and how much more of it there may
#: be in the last third than in the middle one.
EVERY, GROWTH = 2.0, 4 * 1024 * 1024

#: For how many seconds an outlet keeps a stream whose way is gone.
RESUMED = 120

#: How many transfers there are all the time; seconds between two brief ones;
#: bytes in a second of each.
STEADY, BRIEF, RATE = 4, 4.0, 60_000


class SoakTests(CountedTestCase):
    """
    See the module.
    """

    options = ("--resume-timeout", str(RESUMED))
    # Who comes while there is no way waits for one.
    inletOptions = ("--connect-timeout", "120")

    def test_soak(self) -> None:
        """
        No byte is lost, nothing is left of what has ended, and memory is
        flat.
        """
        self.chance = chance = random.Random(self.seed)
        self.begin(STEADY, RATE)
        self.briefs: list[Transfer] = []
        self._beginBrief()
        self.until(lambda: self._endBriefs() == 0, "a brief transfer ends")
        before = self.holding(*HOSTS)
        faults: list[Callable[[], float]] = [self._weather, self._blackhole, self._cut, self._stop, self._move]
        samples: list[list[int]] = []
        count = brief = 0
        began = time.monotonic()
        looks = briefly = due = 0.0
        while (now := time.monotonic() - began) < SOAK:
            if now >= looks:
                looks = now + EVERY
                samples.append([self.programs[host].memory() for host in HOSTS])
            if now >= due:
                count += 1
                # No weather lasts: what is sent has to be less than what the
                # roads carry.
                self._calm()
                due = now + chance.choice(faults)()
            if now >= briefly:
                briefly = now + BRIEF
                brief += 1
                self._beginBrief()
            self._endBriefs()
            self.check()
            time.sleep(0.1)
        self._calm()
        self.until(lambda: self._endBriefs() == 0, "the brief transfers end", 120)
        self.goOn(90)
        growth = self._growth(samples)
        now = " ".join(f"{each / 1e6:.1f}" for each in samples[-1])
        more = " ".join(f"{each / 1e6:+.1f}" for each in growth)
        self.report(f"{SOAK:.0f} s, {count} faults, {brief} brief transfers; MB of {' '.join(HOSTS)}: {now} ({more})")
        # If the last word on a stream was lost, the outlet waits for it.
        self.settle(before, RESUMED + PATIENCE)
        self.finish()
        self.assertLessEqual(max(growth), GROWTH)

    def _growth(self, samples: list[list[int]]) -> list[float]:
        """
        @return: For each process, by how much its memory is more in the last
            third than in the middle one.
        """
        third = len(samples) // 3
        middle, last = samples[third : 2 * third], samples[2 * third :]
        return [
            statistics.median(each[n] for each in last) - statistics.median(each[n] for each in middle)
            for n in range(len(HOSTS))
        ]

    # -------------------------------------------------------------- transfers

    def _beginBrief(self) -> None:
        self.briefs.append(self.add(RATE))

    def _endBriefs(self) -> int:
        """
        End those that have moved enough.

        @return: How many there are.
        """
        for each in list(self.briefs):
            if each.moved > RATE and each.up.received and each.down.received:
                each.enough.set()
            if each.isOver:
                self.assertEqual(each.errors, [], f"seed {self.seed}")
                for flow in (each.up, each.down):
                    self.assertEqual(flow.received, flow.sent)
                self.briefs.remove(each)
                self.transfers.all.remove(each)
        return len(self.briefs)

    # ----------------------------------------------------------------- faults

    def _calm(self) -> None:
        self.change(loss=0.0, delay=0.0, jitter=0.0, reorder=0.0, rate=0, closed=False)

    def _weather(self) -> float:
        chance = self.chance
        road = self.roads[chance.choice(("inlet", "outlet"))]
        road.change(
            loss=chance.choice((0.0, 0.0, 0.01, 0.05)),
            delay=chance.choice((0.0, 0.02, 0.1)),
            jitter=chance.choice((0.0, 0.01)),
            reorder=chance.choice((0.0, 0.05)),
            rate=chance.choice((0, 0, 500_000)),
        )
        return chance.uniform(5, 15)

    def _blackhole(self) -> float:
        road = self.roads[self.chance.choice(("inlet", "outlet"))]
        road.change(closed=True)
        time.sleep(self.chance.uniform(0.5, 6))
        road.change(closed=False)
        return self.chance.uniform(2, 10)

    def _cut(self) -> float:
        self.cut(self.chance.choice(("inlet", "outlet")))
        return self.chance.uniform(2, 10)

    def _stop(self) -> float:
        host = self.chance.choice(HOSTS)
        self.signal(host, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.1, 5))
        self.signal(host, signal.SIGCONT)
        return self.chance.uniform(2, 10)

    def _move(self) -> float:
        self.move(self.chance.choice(("inlet", "outlet")))
        return self.chance.uniform(5, 15)
