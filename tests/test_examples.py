"""
The examples, run as programs, with curl; real sockets and time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.scenarios.bluetooth import CONTROLLERS
from tests.scenarios.processes import CURL, Program, ScenarioTestCase, freePort, require

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


class ExampleTests(ScenarioTestCase):
    """
    Each gives the page of a private web server.
    """

    def setUp(self) -> None:
        """
        A private web server.
        """
        super().setUp()
        require("curl")
        if not EXAMPLES.exists():
            raise SkipTest("NO EXAMPLES HERE: they are in the source tree")
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello from a private place")
        self.target = f"127.0.0.1:{port}"

    def example(self, name: str, *arguments: str) -> Program:
        """
        Run one.
        """
        return self.start(sys.executable, str(EXAMPLES / name), *arguments)

    def assertReached(self, inlet: Program, port: int) -> None:
        """
        The page comes through the inlet.
        """
        inlet.value("Try")
        url = f"http://127.0.0.1:{port}/page"
        got = subprocess.run([*CURL, url], capture_output=True, text=True, check=True)
        self.assertEqual(got.stdout, "hello from a private place")

    def test_01(self) -> None:
        """
        Inlet and outlet in one node.
        """
        port = freePort()
        self.assertReached(self.example("01_inlet_outlet.py", str(port), self.target), port)

    def test_02(self) -> None:
        """
        Over TCP.
        """
        at, port = freePort(), freePort()
        self.example("02_outlet.py", str(at), self.target).value("Listening")
        self.assertReached(self.example("02_inlet.py", str(port), f"127.0.0.1:{at}"), port)

    def test_03(self) -> None:
        """
        Over a secure channel.
        """
        at, port = freePort(), freePort()
        identifier = self.example("03_outlet.py", str(at), self.target).value("Identifier")
        self.assertReached(self.example("03_inlet.py", identifier, str(port), f"127.0.0.1:{at}"), port)

    def test_04(self) -> None:
        """
        Through a relay.
        """
        at, port = freePort(), freePort()
        self.example("04_relay.py", str(at)).value("Listening")
        outlet = self.example("04_outlet.py", f"127.0.0.1:{at}", self.target)
        identifier, address = outlet.value("Identifier"), outlet.value("Forwarding address")
        self.assertReached(self.example("04_inlet.py", identifier, address, str(port), f"127.0.0.1:{at}"), port)

    def test_05(self) -> None:
        """
        By Bluetooth first, then by TCP.
        """
        at, port, *controllers = (freePort() for _ in range(4))
        self.start(sys.executable, CONTROLLERS, *map(str, controllers)).value("Controllers")
        environ = dict(os.environ)
        self.patch(os, "environ", {**environ, "OCKAM_TWISTED_BLE": f"tcp-client:127.0.0.1:{controllers[0]}"})
        self.example("05_relay.py", "otter", str(at)).value("Listening")
        outlet = self.example("04_outlet.py", f"127.0.0.1:{at}", self.target)
        identifier, address = outlet.value("Identifier"), outlet.value("Forwarding address")
        self.patch(os, "environ", {**environ, "OCKAM_TWISTED_BLE": f"tcp-client:127.0.0.1:{controllers[1]}"})
        self.assertReached(self.example("05_inlet.py", identifier, address, str(port), "otter"), port)

    def test_07(self) -> None:
        """
        A secure channel over a transport of one's own; who speaks something
        else there is let go, and the next one is served.
        """
        at = freePort()
        identifier = self.example("07_transport.py", "serve", f"tcp:{at}:interface=127.0.0.1").value("Identifier")
        for words in (b"99999999:", b":,", b"GET / HTTP/1.1\r\n\r\n", b"5:hello,"):
            with socket.create_connection(("127.0.0.1", at), 10) as stranger:
                stranger.sendall(words)
                if words != b"5:hello,":
                    stranger.settimeout(10)
                    try:
                        self.assertEqual(stranger.recv(10), b"")
                    except ConnectionResetError:
                        pass
        asking = self.example("07_transport.py", "ask", f"tcp:127.0.0.1:{at}", identifier)
        self.assertEqual(asking.value("A secure channel with"), identifier)
