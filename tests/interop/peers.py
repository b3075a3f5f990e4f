"""
Rust nodes of two releases and ours, as processes, with the same words for
both: what the interoperability tests are made of.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, eachVariant, freePort

#: Names the folder with the built programs; see README.rst.
VARIABLE = "OCKAM_TWISTED_PEERS"

#: The releases of the Rust implementation that there is a peer of.
RELEASES = ("v0_139", "newest")
OURS = "ours"

#: What is moved each way, and how many clients there are at once.
MOVED = 20 * 1024 * 1024 + 12_345
AT_ONCE = 50

HEAD = struct.Struct(">cQQ")


def peerProgram(release: str) -> str:
    """
    The peer of a release; skips the test, loudly, where there is none.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise SkipTest(f"NO RUST PEER: {VARIABLE} is not set, see tests/interop/README.rst")
    program = Path(folder) / release / "release" / "peer"
    if not program.is_file():
        raise SkipTest(f"NO RUST PEER: {program} is not built, see tests/interop/README.rst")
    return str(program)


def content(seed: int, size: int) -> bytes:
    """
    Bytes that are different everywhere, and the same for the same seed.
    """
    return random.Random(seed).randbytes(size)


def receiveExactly(connection: socket.socket, size: int) -> bytes:
    """
    @raise EOFError: The connection ends before so many bytes.
    """
    received = bytearray()
    while len(received) < size:
        data = connection.recv(min(1 << 18, size - len(received)))
        if not data:
            raise EOFError(f"closed after {len(received)} of {size} bytes")
        received += data
    return bytes(received)


#: Have every test of a class once for each release.
eachRelease = eachVariant(*RELEASES)


class Target:
    """
    The private service: takes so many bytes, tells their hash, and sends so
    many others.  In threads, so that the test can block.

    @ivar ended: How many connections have ended with a FIN of the client.
    """

    def __init__(self) -> None:
        self.ended = 0
        self.live: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self.live.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            while head := client.recv(HEAD.size, socket.MSG_WAITALL):
                _, up, down = HEAD.unpack(head)
                digest = hashlib.sha256()
                while up:
                    data = client.recv(min(1 << 18, up))
                    if not data:
                        return
                    digest.update(data)
                    up -= len(data)
                client.sendall(digest.digest() + content(down, down))
            with self._lock:
                self.ended += 1
        except OSError:
            pass
        finally:
            # Under the lock, so that abort() never sees one that is closed.
            with self._lock:
                self.live.discard(client)
                client.close()

    def abort(self) -> None:
        """
        Reset every connection there is.
        """
        with self._lock:
            for each in self.live:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # The other side was faster.
                    pass

    def close(self) -> None:
        """
        Listen no more.
        """
        # A thread in accept() keeps a socket open that is only closed.
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def exchange(client: socket.socket, up: int, down: int, seed: int = 1) -> None:
    """
    Move bytes both ways over a connection to a L{Target} and check them all.
    """
    data = content(seed, up)
    client.sendall(HEAD.pack(b"x", up, down))
    client.sendall(data)
    if receiveExactly(client, 32) != hashlib.sha256(data).digest():
        raise AssertionError("what has arrived at the target is not what was sent")
    if receiveExactly(client, down) != content(down, down):
        raise AssertionError("what has come from the target is not what it sent")


class InteropTestCase(ScenarioTestCase):
    """
    Tests over real sockets, in real time, with real processes of both kinds.
    """

    def rust(self, release: str, role: str, *arguments: str, state: str = "", stop: bool = True) -> Program:
        """
        Start a Rust node.

        @param state: Names its identity.
        """
        program = peerProgram(release)
        folder = ("--state", str(self.folder / state)) if state else ()
        return self.start(program, role, *arguments, *folder)

    def who(self, release: str, state: str, *arguments: str) -> str:
        """
        The identifier of a node that is to be started with this state.
        """
        if release == OURS:
            return self.identity(state)
        return self.ask(release, "identity", "--state", str(self.folder / state), *arguments)["Identifier"]

    def ask(self, release: str, role: str, *arguments: str) -> dict[str, str]:
        """
        Run a Rust peer to its end.

        @return: What it says.
        """
        done = subprocess.run(
            [peerProgram(release), role, *arguments], capture_output=True, text=True, timeout=PATIENCE, cwd=self.folder
        )
        if done.returncode:
            raise AssertionError(f"peer {role} {arguments}: {done.stdout}{done.stderr}")
        return dict(line.partition(": ")[::2] for line in done.stdout.splitlines())

    def target(self) -> Target:
        """
        A private service.
        """
        target = Target()
        self.addCleanup(target.close)
        return target

    # ----------------------------------------------------------------- roles

    #: Tells the state of several portals in one test apart.
    tag = ""

    def relay(self, release: str, *extra: str) -> int:
        """
        @return: The port of a relay.
        """
        port = freePort()
        if release == OURS:
            self.twist("ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1", state=f"relay{self.tag}").value(
                "Identifier"
            )
        else:
            # As the nodes of the ockam command do; a bare library relay has no alias.
            alias = ("--alias", "static_forwarding_service")
            self.rust(release, "relay", "--listen", f"127.0.0.1:{port}", *alias, *extra).value("Ready")
        return port

    def outlet(self, release: str, target: int, client: str, relay: int = 0, *extra: str) -> tuple[Program, str]:
        """
        An outlet, behind the relay at a port, or listening.

        @param client: The only identifier it trusts.
        @return: It, and the MultiAddr of its worker.
        """
        port = relay or freePort()
        if release == OURS:
            way = ("--relay", f"127.0.0.1:{relay}") if relay else ("--listen", f"tcp:{port}:interface=127.0.0.1")
            program = self.twist(
                "ockam-outlet",
                "--target",
                f"127.0.0.1:{target}",
                "--authorized",
                client,
                *way,
                *extra,
                state=f"outlet{self.tag}",
            )
            program.value("Identifier")
        else:
            way = (
                ("--relay", f"/dnsaddr/127.0.0.1/tcp/{relay}", "--relay-name", "private")
                if relay
                else ("--listen", f"127.0.0.1:{port}")
            )
            program = self.rust(
                release, "outlet", "--target", f"127.0.0.1:{target}", "--secure", "api", "--authorized", client,
                *way, *extra, state=f"outlet{self.tag}",
            )  # fmt: skip
            program.value("Ready")
        service = f"/service/{program.value('Forwarding address')}" if relay else ""
        return program, f"/dnsaddr/127.0.0.1/tcp/{port}{service}/secure/api/service/outlet"

    def inlet(self, release: str, address: str, outlet: str, *extra: str) -> tuple[Program, int]:
        """
        An inlet.

        @param outlet: The only identifier it trusts.
        @return: It, and its port.
        """
        port = freePort()
        if release == OURS:
            program = self.twist(
                "ockam-inlet",
                "--listen",
                str(port),
                "--to",
                address,
                "--authorized",
                outlet,
                *extra,
                state=f"inlet{self.tag}",
            )
            program.value("Identifier")
        else:
            program = self.rust(
                release, "inlet", "--listen", f"127.0.0.1:{port}", "--to", address, "--authorized", outlet, *extra,
                state=f"inlet{self.tag}",
            )  # fmt: skip
            program.value("Ready")
        self.waitForPort(port)
        return program, port

    def portal(  # type: ignore[override]
        self, inlet: str, outlet: str, relay: str = ""
    ) -> tuple[Target, int, Program, Program]:
        """
        A portal from end to end.

        @param relay: Whose relay; empty for none.
        @return: The target, the inlet's port, inlet and outlet.
        """
        target = self.target()
        at = self.relay(relay) if relay else 0
        client, server = self.who(inlet, f"inlet{self.tag}"), self.who(outlet, f"outlet{self.tag}")
        there, address = self.outlet(outlet, target.port, client, at)
        here, port = self.inlet(inlet, address, server)
        return target, port, here, there

    def connect(self, port: int, patience: float = PATIENCE) -> socket.socket:
        """
        A client.
        """
        client = socket.create_connection(("127.0.0.1", port), patience)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(client.close)
        return client

    def waitUntil(self, condition: Callable[[], object], what: str) -> None:
        """
        Wait until C{condition()} holds.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"in vain: {what}")
            time.sleep(0.02)

    def eventually(self, attempt: Callable[[], object]) -> None:
        """
        Try something until it does not fail because of a connection.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                attempt()
                return
            except (OSError, EOFError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def environ(self) -> dict[str, str]:
        """
        For programs that import the package.
        """
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def works(self, port: int, target: Target) -> None:
        """
        The full measure: many bytes each way, many clients at once, and an
        end that the target hears of.
        """
        first = self.connect(port)
        exchange(first, MOVED, MOVED)
        clients = [self.connect(port) for _ in range(AT_ONCE)]
        for seed, client in enumerate(clients):
            exchange(client, 1000 + seed, 2000 + seed, seed)
        for client in reversed(clients):
            exchange(client, 100, 100)
        for client in (first, *clients):
            client.close()
        self.waitUntil(lambda: not target.live, "the end of every connection at the target")

    def endsWell(self, *programs: Program) -> None:
        """
        Our programs end when they are asked to, without a traceback.
        """
        for program in programs:
            self.assertIsNone(program.process.poll(), program.text()[-2000:])
            program.end()
            self.assertNotIn("Traceback", program.text())
