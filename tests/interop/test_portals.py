"""
What Rust portals do at the edges: how things end, and what they make of our
messages; real processes, sockets and time.
"""

from __future__ import annotations

import socket
import time

from tests.interop.peers import HEAD, OURS, RELEASES, InteropTestCase, content, eachRelease, exchange, receiveExactly
from tests.scenarios.processes import PATIENCE, Program, Stopwatch, freePort

#: Longer than any silence that we would take for the end, seconds.
IDLE = 45

#: How long others may have to wait for one that does not read, seconds: the
#: five that it has, a second between two looks, and what a busy machine adds.
LONGEST = 9


@eachRelease
class EndTests(InteropTestCase):
    """
    Every way a stream may end, with ours at one side and Rust at the other.
    """

    def ended(self, client: socket.socket, seconds: float = 15) -> None:
        """
        A client is told that its stream has ended.
        """
        client.settimeout(seconds)
        try:
            while client.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass

    def test_targetRefused(self, release: str) -> None:
        """
        A client of a Rust inlet is told when our outlet's target refuses (an
        outlet of their own kind leaves it waiting).
        """
        at = self.relay(OURS)
        client, server = self.who(release, "inlet"), self.identity("outlet")
        outlet, address = self.outlet(OURS, freePort(), client, at)
        _, port = self.inlet(release, address, server)
        self.ended(self.connect(port))
        self.assertIn("does not answer", outlet.text())

    def test_targetRefusedTheirs(self, release: str) -> None:
        """
        A client of our inlet is told within 15 s when a Rust outlet's target
        refuses, though nothing comes from there.
        """
        server, client = self.who(release, "outlet"), self.identity("inlet")
        _, address = self.outlet(release, freePort(), client)
        _, port = self.inlet(OURS, address, server)
        self.ended(self.connect(port))

    def test_targetGone(self, release: str) -> None:
        """
        A target that goes away in the middle of a stream: the client of a
        Rust inlet is told; others go on.
        """
        target, port, _inlet, outlet = self.portal(release, OURS)
        client = self.connect(port)
        exchange(client, 1000, 1000)
        target.abort()
        self.ended(client)
        exchange(self.connect(port), 1000, 1000)
        self.endsWell(outlet)

    def test_targetGoneTheirs(self, release: str) -> None:
        """
        The same with our inlet and a Rust outlet, when the target closes.
        """
        target, port, inlet, _outlet = self.portal(OURS, release)
        client = self.connect(port)
        exchange(client, 1000, 1000)
        target.abort()
        self.ended(client)
        exchange(self.connect(port), 1000, 1000)
        self.endsWell(inlet)

    def test_outletKilled(self, release: str) -> None:
        """
        A Rust outlet is killed: clients of our inlet are told at once, and
        once it is back new ones get through.
        """
        target, client = self.target(), self.identity("inlet")
        server, port = self.who(release, "outlet"), freePort()
        command = ("outlet", "--target", f"127.0.0.1:{target.port}", "--secure", "api", "--authorized", client)
        outlet = self.rust(release, *command, "--listen", f"127.0.0.1:{port}", state="outlet")
        outlet.value("Ready")
        inlet, at = self.inlet(OURS, f"/dnsaddr/127.0.0.1/tcp/{port}/secure/api/service/outlet", server)
        stream = self.connect(at)
        exchange(stream, 1000, 1000)
        outlet.process.kill()
        outlet.process.wait()
        self.ended(stream, 5)
        self.rust(release, *command, "--listen", f"127.0.0.1:{port}", state="outlet").value("Ready")
        self.eventually(lambda: exchange(self.connect(at), 1000, 1000))
        self.endsWell(inlet)

    def test_outletOfOursKilled(self, release: str) -> None:
        """
        Our outlet is asked to end: clients of a Rust inlet are told.
        """
        target, port, _inlet, outlet = self.portal(release, OURS)
        client = self.connect(port)
        exchange(client, 1000, 1000)
        self.endsWell(outlet)
        self.ended(client)
        self.waitUntil(lambda: not target.live, "the end at the target")

    def test_relayRestarted(self, release: str) -> None:
        """
        A Rust relay is killed and comes back: our outlet and our inlet find
        together again, and an open stream goes on.
        """
        port, target = freePort(), self.target()

        def start() -> object:
            relay = self.rust(release, "relay", "--listen", f"127.0.0.1:{port}")
            relay.value("Ready")
            return relay

        relay = start()
        client, server = self.identity("inlet"), self.identity("outlet")
        outlet, address = self.outlet(OURS, target.port, client, port)
        inlet, at = self.inlet(OURS, address, server)
        stream = self.connect(at)
        exchange(stream, 1000, 1000)
        relay.process.kill()  # type: ignore[attr-defined]
        relay.process.wait()  # type: ignore[attr-defined]
        start()
        exchange(stream, 1000, 1000)
        exchange(self.connect(at), 1000, 1000)
        self.endsWell(inlet, outlet)

    def test_halfClosed(self, release: str) -> None:
        """
        All that the target has sent arrives before the end does, when it
        closes after its last byte.
        """
        for inlet, outlet in ((OURS, release), (release, OURS)):
            self.tag = inlet
            _, port, here, there = self.portal(inlet, outlet)
            client = self.connect(port)
            for _ in range(5):
                exchange(client, 10, 300_000)
            here.end()
            there.end()


@eachRelease
class StallTests(InteropTestCase):
    """
    Rust portals have no windows: who does not read stalls others, for a while.
    """

    def test_stopped(self, release: str) -> None:
        """
        A client of our inlet that asks for much, and does not read, has its
        stream reset; others of the same channel wait for a few seconds only,
        and who needs no time at all is served before.
        """
        _, port, inlet, _ = self.portal(OURS, release, OURS)
        other, stopped = self.connect(port), self.connect(port)
        exchange(other, 1000, 1000)
        exchange(stopped, 1000, 1000)
        stopped.sendall(HEAD.pack(b"x", 0, 32 * 1024 * 1024))
        other.settimeout(LONGEST)
        until = time.monotonic() + 2 * LONGEST
        while time.monotonic() < until:
            exchange(other, 1000, 100_000)
        self.assertIn("holds others back", inlet.text())
        stopped.settimeout(PATIENCE)
        with self.assertRaises(ConnectionResetError):
            while stopped.recv(1 << 16):
                pass
        self.endsWell(inlet)

    def test_littleUnread(self, release: str) -> None:
        """
        One that has left less than 4 MiB unread keeps its stream, and nobody
        waits for it.
        """
        _, port, inlet, _ = self.portal(OURS, release, OURS)
        other, stopped = self.connect(port), self.connect(port)
        exchange(other, 1000, 1000)
        size = 3 * 1024 * 1024
        stopped.sendall(HEAD.pack(b"x", 0, size))
        until = time.monotonic() + 2 * LONGEST
        while time.monotonic() < until:
            watch = Stopwatch(inlet)
            exchange(other, 1000, 100_000)
            self.assertLess(watch.seconds(), 3)
            time.sleep(0.01)
        self.assertNotIn("holds others back", inlet.text())
        stopped.settimeout(PATIENCE)
        receiveExactly(stopped, 32)
        self.assertEqual(receiveExactly(stopped, size), content(size, size))
        self.endsWell(inlet)


class IdleTests(InteropTestCase):
    """
    Nothing to do for a long time.
    """

    def explained(self, client: socket.socket, *programs: Program) -> None:
        """
        Exchange bytes; what the programs say is part of the failure.
        """
        try:
            exchange(client, 1000, 1000)
        except (OSError, EOFError) as error:
            raise AssertionError(f"{error}: {[each.text()[-3000:] for each in programs]}") from None

    def test_idle(self) -> None:
        """
        Streams that were idle for longer than any of our limits of patience
        go on, whoever has the inlet.
        """
        portals = []
        for inlet, outlet in [(OURS, release) for release in RELEASES] + [(release, OURS) for release in RELEASES]:
            self.tag = inlet + outlet
            _, port, here, there = self.portal(inlet, outlet, OURS if inlet == OURS else "")
            client = self.connect(port)
            self.explained(client, here, there)
            portals.append((client, port, here, there))
        time.sleep(IDLE)
        for client, port, here, there in portals:
            for program in (here, there):
                self.assertNotIn("down after", program.text())
            self.explained(client, here, there)
            exchange(self.connect(port), 1000, 1000)
