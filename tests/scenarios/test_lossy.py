"""
QUIC over roads that lose packets, and under clients who move: three hosts, real time.  Needs
root; is skipped, loudly, without.
"""

from __future__ import annotations

from tests.scenarios.faults import FaultTestCase
from tests.scenarios.network import RELAY
from tests.scenarios.processes import Program

#: Where the relay speaks QUIC.
PORT = 4002


class LossyTests(FaultTestCase):
    """
    Inlet and outlet reach the relay by QUIC.
    """

    relayAt = f"quic:{RELAY[1]}:{PORT}"
    wayToRelay = f"/ip4/{RELAY[0]}/udp/{PORT}/quic"

    def startRelay(self, *options: str) -> Program:
        """
        See L{NetworkTestCase.startRelay}.
        """
        return super().startRelay("--listen", f"quic:{PORT}", *options)

    def test_loss(self) -> None:
        """
        One packet in twenty is lost on each road, others overtake: every byte arrives, once
        and in order, and nobody notices.
        """
        self.begin(2, 100_000)
        self.change(loss=0.05, delay=0.02, jitter=0.005)
        for _ in range(8):
            self.goOn()
        self.finish()
        self.assertNotIn(": down after ", self.programs["inlet"].text())
        self.report("one packet in twenty was lost")

    def test_move(self) -> None:
        """
        A client whose address changes goes on over the same connection.
        """
        self.begin(2, 100_000)
        self.move("inlet")
        took = self.goOn()
        self.finish()
        self.assertNotIn(": down after ", self.programs["inlet"].text())
        self.report(f"went on {took:.1f} s after the address had changed")
