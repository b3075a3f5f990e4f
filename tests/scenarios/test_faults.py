"""
Faults of the network and of processes, while bytes are on their way in both
directions: real processes on three hosts, real time.  What takes longer is in
L{tests.long}.
"""

from __future__ import annotations

import signal
import time

from tests.scenarios.faults import FaultTestCase


class RoadTests(FaultTestCase):
    """
    Faults of the network.
    """

    def test_loss(self) -> None:
        """
        One packet in twenty is lost, all are late, and some overtake others.
        """
        self.begin(2, 20_000)
        self.change(loss=0.05, delay=0.1, reorder=0.05, jitter=0.01)
        until = time.monotonic() + 8
        while time.monotonic() < until:
            self.goOn()
        self.finish()
        self.report("5 % lost, 200 ms late")

    def test_blackhole(self) -> None:
        """
        For seconds nothing passes.
        """
        self.begin()
        self.change(closed=True)
        time.sleep(5)
        self.change(closed=False)
        self.goOn()
        self.finish()
        self.report("nothing passed for 5 s")

    def test_reset(self) -> None:
        """
        The connections to the relay are reset.
        """
        self.begin()
        for host in ("inlet", "outlet"):
            self.cut(host)
            self.goOn()
        self.finish()
        self.report("connections reset")

    def test_addresses(self) -> None:
        """
        The outlet's host gets another address, then the inlet's.
        """
        self.begin()
        for host in ("outlet", "inlet"):
            self.move(host)
            self.programs[host].waitForText(": down after ")
            self.goOn()
        self.finish()
        self.report("outlet and inlet have other addresses")


class ProcessTests(FaultTestCase):
    """
    Faults of processes.
    """

    def test_relay_killed(self) -> None:
        """
        The relay is killed, and started again, twice.
        """
        self.begin()
        for _ in range(2):
            self.kill("relay")
            self.launch("relay")
            self.goOn()
        self.finish()
        self.report("relay killed twice")

    def test_relay_stopped(self) -> None:
        """
        The relay hangs for a while.
        """
        self.begin()
        self.signal("relay", signal.SIGSTOP)
        time.sleep(10)
        self.signal("relay", signal.SIGCONT)
        self.goOn()
        self.finish()
        self.report("relay stopped for 10 s")

    def test_outlet_killed(self) -> None:
        """
        The outlet is killed: its targets see the end at once, its clients a
        reset once it is there again; then all is as before.
        """
        self.begin()
        self.kill("outlet")
        self.until(lambda: all(each.up.isOver for each in self.transfers.all), "the targets see the end", 5)
        self.launch("outlet")
        took = self.until(lambda: all(each.isOver for each in self.transfers.all), "the clients see the end")
        self.report(f"outlet killed, clients reset {took:.1f} s after its start")
        for each in self.transfers.all:
            self.assertTrue(each.wasReset[0], each.errors)
        self._again()

    def test_inlet_killed(self) -> None:
        """
        The inlet is killed: its clients see the end at once, its targets a
        reset once it is there again and somebody uses it.
        """
        self.begin()
        self.kill("inlet")
        old = list(self.transfers.all)
        self.until(lambda: all(each.down.isOver for each in old), "the clients see the end", 5)
        self.launch("inlet")
        self.transfers.all.clear()
        self.add()
        took = self.until(lambda: all(each.isOver for each in old), "the targets see the end")
        self.report(f"inlet killed, targets reset {took:.1f} s after its start")
        for each in old:
            self.assertTrue(each.wasReset[1], each.errors)
        self._again()

    def _again(self) -> None:
        self.transfers.all.clear()
        self.add()
        self.goOn()
        self.finish()
