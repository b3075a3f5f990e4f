"""
Nodes that are programs, with Bluetooth controllers that are programs, over real
sockets and in real time.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from tests.scenarios.bluetooth import CONTROLLERS
from tests.scenarios.processes import CURL, PATIENCE, Program, ScenarioTestCase, freePort

#: Bytes that go each way.
SIZE = 512 * 1024


class BluetoothTests(ScenarioTestCase):
    """
    Over Bluetooth to a relay, and by TCP from there.
    """

    def controllers(self) -> tuple[Program, list[str]]:
        """
        Two of them.

        @return: The program, and the names of both for C{bumble}.
        """
        ports = [str(freePort()) for _ in range(2)]
        program = self.start(sys.executable, CONTROLLERS, *ports)
        program.value("Controllers")
        return program, [f"tcp-client:127.0.0.1:{port}" for port in ports]

    def bluetooth(self, adapter: str, plugin: str, *arguments: str, state: str) -> Program:
        """
        Start a plugin under the asyncio reactor.
        """
        self.patch(os, "environ", {**os.environ, "OCKAM_TWISTED_BLE": adapter})
        return self.start(
            sys.executable, "-m", "twisted", "--reactor=asyncio", "--log-format=text", plugin, *arguments,
            "--state-dir", str(self.folder / state),
        )  # fmt: skip

    def roads(self, there: str) -> None:
        """
        Relay and outlet.
        """
        port, folder = self.serveFolder()
        (folder / "page").write_bytes(os.urandom(SIZE))
        self.page = folder / "page"
        at = freePort()
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        self.relay = self.bluetooth(
            there, "ockam-relay", "--listen", "ble:otter", "--listen", f"tcp:{at}:interface=127.0.0.1", state="relay"
        )
        self.relay.value("Identifier")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{port}", "--relay", f"127.0.0.1:{at}", "--authorized", inlet,
            state="outlet",
        )  # fmt: skip
        address = out.value("Forwarding address")
        self.outlet, self.address = outlet, address

    def inlet(self, adapter: str) -> tuple[int, Program]:
        """
        An inlet that gets there.

        @return: Its port, and itself.
        """
        listen = freePort()
        into = self.bluetooth(
            adapter, "ockam-inlet", "--listen", str(listen), "--authorized", self.outlet,
            "--to", f"/ble/otter/service/{self.address}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        into.value("Identifier")
        self.waitForPort(listen)
        return listen, into

    def assertPage(self, listen: int) -> None:
        """
        The page comes through, as it is.
        """
        got = subprocess.run([*CURL, f"http://127.0.0.1:{listen}/page"], capture_output=True, check=True)
        self.assertEqual(hashlib.sha256(got.stdout).digest(), hashlib.sha256(self.page.read_bytes()).digest())

    def test_portal(self) -> None:
        """
        A portal through both: a page of half a megabyte arrives as it is; and again when
        another inlet comes after the first one.
        """
        _, (here, there) = self.controllers()
        self.roads(there)
        listen, into = self.inlet(here)
        self.assertPage(listen)
        # Another one, after the first is gone.
        into.end()
        self.assertPage(self.inlet(here)[0])

    def test_ping(self) -> None:
        """
        C{ockam-twisted} gets there, too, by the reactor that it takes.
        """
        _, (here, there) = self.controllers()
        self.roads(there)
        self.patch(os, "environ", {**os.environ, "OCKAM_TWISTED_BLE": here})
        to = f"{self.outlet}@/ble/otter/service/{self.address}/secure/api/service/outlet"
        self.identity("inlet")
        ping = self.start(
            sys.executable, "-m", "ockam_twisted.command", "--reactor=asyncio", "ping", "-c", "2", "-i", "0.1", to,
            "--state-dir", str(self.folder / "inlet"),
        )  # fmt: skip
        self.assertEqual(ping.process.wait(60), 0, ping.text())
        self.assertIn("2 of 2", ping.text())

    def test_unplugged(self) -> None:
        """
        The controllers are gone, and come back: so does the portal, by itself.
        """
        program, (here, there) = self.controllers()
        self.roads(there)
        listen, _ = self.inlet(here)
        self.assertPage(listen)
        program.end()
        self.relay.waitForText("The Bluetooth controller is gone")
        self.start(sys.executable, CONTROLLERS, here.rpartition(":")[2], there.rpartition(":")[2]).value("Controllers")
        self.assertPage(listen)

    def test_otherReactor(self) -> None:
        """
        Under another reactor a node ends, with one line that names the one it needs.
        """
        for plugin, arguments in (
            ("ockam-relay", ("--listen", "ble:otter")),
            ("ockam-outlet", ("--target", "127.0.0.1:1", "--relay", "/ble/otter", "--authorized", self.identity("x"))),
            ("ockam-outlet", ("--target", "127.0.0.1:1", "--relay", "ble:otter", "--authorized", self.identity("x"))),
            ("ockam-inlet", ("--listen", "0", "--trust-everyone", "--to", "/ble/otter/secure/api/service/outlet")),
        ):
            node = self.twist(plugin, *arguments)
            self.assertNotEqual(node.process.wait(PATIENCE), 0)
            lines = [line for line in node.text().splitlines() if "Bluetooth needs the asyncio reactor" in line]
            self.assertEqual(len(lines), 1, node.text())
            self.assertIn("--reactor=asyncio", lines[0])
