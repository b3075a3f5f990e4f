"""
A relay of ours that is several processes, with Rust nodes at it; real
processes, sockets and time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.interop.peers import OURS, InteropTestCase, eachRelease, exchange
from tests.scenarios.processes import Program, freePort
from tests.scenarios.test_processes import LATE, connections, pids, until

_LATE_SCRIPT = Path(__file__).parent.parent / "scenarios" / "late.py"


@eachRelease
class ProcessesTests(InteropTestCase):
    """
    Two processes, and Rust nodes that notice nothing of it.
    """

    def startRelay(self) -> tuple[Program, int]:
        """
        @return: It, and its port.
        """
        port = freePort()
        listen = f"tcp:{port}:interface=127.0.0.1"
        relay = self.twist("ockam-relay", "--listen", listen, "--processes", "2", state="relay")
        until(lambda: len(pids(relay)) == 2, "both processes run")
        return relay, port

    def through(self, inlet: str, outlet: str, isApart: bool) -> None:
        """
        Move bytes from an inlet through an outlet.

        @param isApart: Have them at different processes.
        """
        relay, port = self.startRelay()
        client, server = self.who(inlet, "inlet"), self.who(outlet, "outlet")
        _, address = self.outlet(outlet, self.target().port, client, port)
        if isApart:
            late = int(self.start(sys.executable, str(_LATE_SCRIPT), str(port), LATE).value("Port"))
            address = address.replace(f"/tcp/{port}/", f"/tcp/{late}/")
        _, at = self.inlet(inlet, address, server)
        exchange(self.connect(at), 30_000_000, 30_000_000)
        exchange(self.connect(at), 1, 0)
        having = [number for number, pid in pids(relay).items() if connections(pid, port)]
        self.assertEqual(len(having), 1 + isApart)

    def test_rustOutlet(self, release: str) -> None:
        """
        A Rust outlet and an inlet of ours, apart.
        """
        self.through(OURS, release, True)

    def test_rustInlet(self, release: str) -> None:
        """
        A Rust inlet and an outlet of ours, apart.
        """
        self.through(release, OURS, True)

    def test_rustBoth(self, release: str) -> None:
        """
        A Rust inlet and a Rust outlet, apart.
        """
        self.through(release, release, True)

    def test_together(self, release: str) -> None:
        """
        A Rust inlet is led to the process that has the Rust outlet.
        """
        self.through(release, release, False)
