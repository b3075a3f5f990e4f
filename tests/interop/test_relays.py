"""
Relays: Rust nodes registered at ours, ours registered at Rust relays; real
processes, sockets and time.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from tests.interop.peers import OURS, InteropTestCase, eachRelease, exchange
from tests.scenarios.processes import PATIENCE, canConnect, freePort


@eachRelease
class OurRelayTests(InteropTestCase):
    """
    Rust nodes at our relay.
    """

    def startOutlet(self, release: str, relay: int, target: int, *name: str, state: str = "outlet") -> Any:
        """
        Start a Rust outlet for anybody.
        """
        return self.rust(
            release, "outlet", "--target", f"127.0.0.1:{target}", "--secure", "api",
            "--relay", f"/dnsaddr/127.0.0.1/tcp/{relay}", *name, "--timeout", "5", state=state,
        )  # fmt: skip

    def through(self, relay: int, forwarding: str, release: str) -> int:
        """
        @return: The port of an inlet of ours for what is registered.
        """
        address = f"/dnsaddr/127.0.0.1/tcp/{relay}/service/{forwarding}/secure/api/service/outlet"
        return self.inlet(OURS, address, self.who(release, "outlet"))[1]

    def test_ephemeral(self, release: str) -> None:
        """
        A name of the relay's choice.
        """
        target, relay = self.target(), self.relay(OURS)
        outlet = self.startOutlet(release, relay, target.port)
        forwarding = outlet.value("Forwarding address")
        exchange(self.connect(self.through(relay, forwarding, release)), 100_000, 100_000)

    def test_again(self, release: str) -> None:
        """
        A Rust node that was killed registers its name again at once, and
        inlets find it under the same address.
        """
        target, relay = self.target(), self.relay(OURS)
        outlet = self.startOutlet(release, relay, target.port, "--relay-name", "private")
        self.assertEqual(outlet.value("Forwarding address"), "forward_to_private")
        port = self.through(relay, "forward_to_private", release)
        exchange(self.connect(port), 1000, 1000)
        for _ in range(2):
            outlet.process.send_signal(signal.SIGKILL)
            outlet.process.wait()
            outlet = self.startOutlet(release, relay, target.port, "--relay-name", "private")
            self.assertEqual(outlet.value("Forwarding address"), "forward_to_private")
            self.eventually(lambda: exchange(self.connect(port), 1000, 1000))

    def test_dangerousNames(self, release: str) -> None:
        """
        Names that would crash a Rust relay, or stand for a service of the
        relay, are not given, and the relay lives on.
        """
        target, relay = self.target(), self.relay(OURS)
        refused = [
            self.startOutlet(release, relay, target.port, "--relay-name", name, state="")
            for name in ("a#b", "forwarding_service", "echo", "api", "")
        ]
        good = self.startOutlet(release, relay, target.port, "--relay-name", "good")
        self.assertEqual(good.value("Forwarding address"), "forward_to_good")
        for program in refused:
            self.assertNotEqual(program.process.wait(40), 0)
            self.assertNotIn("Forwarding address", program.text())
        self.assertTrue(canConnect(relay))


@eachRelease
class TheirRelayTests(InteropTestCase):
    """
    Our outlets at Rust relays.
    """

    def bare(self, release: str, *arguments: str) -> int:
        """
        @return: The port of a relay as a Rust library makes it.
        """
        port = freePort()
        self.rust(release, "relay", "--listen", f"127.0.0.1:{port}", *arguments).value("Ready")
        return port

    def reached(self, relay: int, *arguments: str) -> tuple[Any, str]:
        """
        An outlet of ours at a relay; an inlet of ours gets through.

        @return: The outlet, and its forwarding address.
        """
        target, client = self.target(), self.identity("inlet")
        outlet, address = self.outlet(OURS, target.port, client, relay, *arguments)
        _, port = self.inlet(OURS, address, self.identity("outlet"))
        exchange(self.connect(port), 100_000, 100_000)
        return outlet, outlet.value("Forwarding address")

    def test_bare(self, release: str) -> None:
        """
        A relay that has neither prefix nor alias gives the bare name.
        """
        _, forwarding = self.reached(self.bare(release))
        self.assertEqual(forwarding, self.identity("outlet"))

    def test_named(self, release: str) -> None:
        """
        A relay as the nodes of the C{ockam} command have it.
        """
        relay = self.bare(release, "--prefix", "forward_to_", "--alias", "static_forwarding_service")
        _, forwarding = self.reached(relay, "--name", "private")
        self.assertEqual(forwarding, "forward_to_private")

    def test_again(self, release: str) -> None:
        """
        Our outlet comes back after it was killed: under its name if the relay
        gives it (the newest does), else it says that it does not, and takes
        one of the relay's choice.
        """
        relay = self.bare(release)
        outlet, before = self.reached(relay)
        outlet.process.kill()
        outlet.process.wait()
        target = self.target()
        again, _address = self.outlet(OURS, target.port, self.identity("inlet"), relay)
        if release == "newest":
            self.assertEqual(again.value("Forwarding address"), before)
        else:
            self.assertNotEqual(again.value("Forwarding address"), before)
            self.assertIn("does not give the name", again.text())
        self.assertNotIn("Traceback", again.text())

    def test_dangerousNames(self, release: str) -> None:
        """
        We never send a name that would end a Rust relay.
        """
        relay = self.bare(release)
        for name in ("a#b", "forwarding_service"):
            done = subprocess.run(
                [sys.executable, "-m", "twisted", "ockam-outlet", "--ephemeral", "--target", "127.0.0.1:9"]
                + ["--trust-everyone", "--relay", f"127.0.0.1:{relay}", f"--name={name}"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                env=self.environ(),
            )
            self.assertEqual(done.returncode, 64, done.stdout + done.stderr)
        self.assertTrue(canConnect(relay))
