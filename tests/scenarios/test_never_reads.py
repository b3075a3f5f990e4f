"""
Peers that ask and never read what is answered: others are not held up for
long, and nobody keeps all the answers.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from ockam_twisted.routing.addresses import Address
from ockam_twisted.wire.frames import VERSION, encodeFrame
from ockam_twisted.wire.messages import encodeTransport
from ockam_twisted.wire.relay import encodeRegistration
from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, freePort

#: Seconds for which somebody else is watched, and the longest silence that it
#: may see in this time: the nine seconds after which a stalled output is
#: closed, the second between two looks, and what a busy machine adds.
WATCHED = 18.0
LONGEST = 13.0

#: How much more memory each process may need than before.
GROWTH = 32 * 1024 * 1024

BLOCK = os.urandom(64 * 1024)


class Stranger(threading.Thread):
    """
    Connects without an identity and asks for all that a stranger can ask for,
    as fast as it is taken.  Reads nothing.

    @ivar asked: Bytes that were taken.
    @ivar isClosed: It was thrown out.
    """

    def __init__(self, port: int, requests: list[tuple[str, bytes]]) -> None:
        """
        @param requests: Route, names joined by C{=>}, and payload of each.
        """
        super().__init__(daemon=True)
        self.asked = 0
        self.isClosed = False
        self._requests = requests
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(VERSION)

    def _frames(self) -> Iterator[bytes]:
        routes = [
            (tuple(Address.local(name) for name in route.split("=>")), payload) for route, payload in self._requests
        ]
        for onward, payload in cycle(routes):
            # With a new address each time, as if each was somebody else.
            yield encodeFrame(encodeTransport(onward, (Address.random(),), payload))

    def run(self) -> None:
        try:
            for frame in self._frames():
                self._socket.sendall(frame)
                self.asked += len(frame)
        except TimeoutError:
            pass
        except OSError:
            self.isClosed = True

    def close(self) -> None:
        """
        It is enough.
        """
        self._socket.close()


class NeverReadsTests(ScenarioTestCase):
    """
    A client talks with an echo server through an inlet, while somebody else
    does not read.
    """

    def _direct(self, target: int, *authorized: str) -> tuple[int, int, list[Program]]:
        """
        An outlet that listens, and an inlet.

        @return: The outlet's port; the inlet's port; both.
        """
        at, port = freePort(), freePort()
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{target}", "--listen", str(at),
            *(f"--authorized={each}" for each in (inlet, *authorized)), state="outlet",
        )  # fmt: skip
        out.value("Identifier")
        into = self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", outlet,
            "--to", f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        self.waitForPort(port)
        return at, port, [into, out]

    def _bad(self, port: int, route: str, does: str) -> Program:
        """
        Start the bad node, with the identity in the folder C{bad}.
        """
        script = str(Path(__file__).with_name("never_reads.py"))
        bad = self.start(sys.executable, script, str(self.folder / "bad"), f"127.0.0.1:{port}", route, does)
        bad.value("Reading")
        return bad

    def _connect(self, port: int) -> socket.socket:
        """
        A client that has had its first answers.
        """
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        for _ in range(500):
            self._roundTrip(client)
        return client

    def _roundTrip(self, client: socket.socket) -> float:
        """
        @return: The longest time without a byte, seconds.
        """
        before = time.monotonic()
        longest = 0.0
        client.sendall(BLOCK)
        digest, left = hashlib.sha256(), len(BLOCK)
        while left:
            data = client.recv(left)
            self.assertTrue(data, "the connection of somebody else was closed")
            digest.update(data)
            left -= len(data)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        self.assertEqual(digest.digest(), hashlib.sha256(BLOCK).digest())
        return longest

    def _watch(self, client: socket.socket, programs: list[Program], before: list[int]) -> None:
        """
        The client is served in time, and no process grows.
        """
        longest, most, until = 0.0, before, time.monotonic() + WATCHED
        looked = 0.0
        while (now := time.monotonic()) < until:
            longest = max(longest, self._roundTrip(client))
            if now - looked > 0.5:
                looked = now
                most = [max(was, program.memory()) for was, program in zip(most, programs, strict=True)]
        self.assertLess(longest, LONGEST)
        for program, more, was in zip(programs, most, before, strict=True):
            self.assertLessEqual(more - was, GROWTH, program.process.args)

    def test_stranger_at_relay(self) -> None:
        """
        A stranger asks the relay, and the outlet through the relay.
        """
        port, *programs = self.portal(self.target("echo"))
        client = self._connect(port)
        before = [program.memory() for program in programs]
        outlet = f"forward_to_{self.identity('outlet')}"
        stranger = Stranger(
            self._relayPort(programs[0]),
            [
                ("echo", bytes(1000)),
                ("api", os.urandom(32)),
                ("static_forwarding_service", encodeRegistration("stranger")),
                (f"{outlet}=>echo", bytes(1000)),
                (f"{outlet}=>api", os.urandom(32)),
            ],
        )
        self.addCleanup(stranger.close)
        stranger.start()
        self._watch(client, programs, before)

    def _relayPort(self, inlet: Program) -> int:
        """
        Where the inlet connects to.
        """
        arguments = inlet.process.args
        assert isinstance(arguments, list)
        return int(next(text for text in arguments if text.startswith("/ip4")).split("/")[4])

    def test_member_at_relay(self) -> None:
        """
        A member has a name at the relay.
        """
        port, *programs = self.portal(self.target("echo"))
        client = self._connect(port)
        before = [program.memory() for program in programs]
        self.identity("bad")
        self._bad(self._relayPort(programs[0]), "api", "register")
        self._watch(client, programs, before)

    def test_inlet_at_relay(self) -> None:
        """
        An authorized inlet opens a stream through the relay, and never reads
        what comes back: the outlet's only connection is for both.
        """
        port, *programs = self.portal(self.target("echo"), 0, self.identity("bad"))
        client = self._connect(port)
        before = [program.memory() for program in programs]
        outlet = f"forward_to_{self.identity('outlet')}"
        self._bad(self._relayPort(programs[0]), f"{outlet}=>api", "stream")
        self._watch(client, programs, before)

    def test_stranger_at_outlet(self) -> None:
        """
        A stranger asks an outlet that listens.
        """
        at, port, programs = self._direct(self.target("echo"))
        client = self._connect(port)
        before = [program.memory() for program in programs]
        stranger = Stranger(at, [("echo", bytes(1000)), ("api", os.urandom(32)), ("outlet", b"\0")])
        self.addCleanup(stranger.close)
        stranger.start()
        self._watch(client, programs, before)

    def test_inlet_at_outlet(self) -> None:
        """
        An authorized inlet opens a stream to an outlet that listens.
        """
        at, port, programs = self._direct(self.target("echo"), self.identity("bad"))
        client = self._connect(port)
        before = [program.memory() for program in programs]
        self._bad(at, "api", "stream")
        self._watch(client, programs, before)
