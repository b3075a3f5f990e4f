"""
C{ockam-twisted connect}: standard input and output as one stream, and how it
ends.
"""

from __future__ import annotations

import hashlib
import os
import pty
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress as ignoring
from pathlib import Path
from queue import Queue

from tests.scenarios.connecting import ConnectTestCase
from tests.scenarios.pairs import ending, reset
from tests.scenarios.processes import PATIENCE, freePort

#: Larger than all buffers on the way.
LARGE = 24 << 20


class TargetTestCase(ConnectTestCase):
    """
    A target in this process.
    """

    def serve(self, work: Callable[[socket.socket], object]) -> int:
        """
        Have a thread work with each connection.

        @return: The port.
        """
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def one(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(PATIENCE)
                work(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(server.getsockname()[1])


def readAll(connection: socket.socket) -> bytes:
    """
    Everything up to the end.
    """
    pieces = []
    while data := connection.recv(1 << 16):
        pieces.append(data)
    return b"".join(pieces)


class StreamTests(TargetTestCase):
    """
    Bytes, and the end of them.
    """

    def test_echo(self) -> None:
        """
        What comes back is what was said, all of it, and nothing else is
        written anywhere.
        """
        self.offer(self.target("echo"))
        data = bytes(range(256)) * 10_000
        self.assertEqual(self.exchange(data), (0, data, ""))
        self.assertEqual(self.exchange(b""), (0, b"", ""))

    def test_inputEnds(self) -> None:
        """
        The end of the input reaches the target, which still answers: with
        more than any buffer holds.
        """

        def answer(connection: socket.socket) -> None:
            connection.sendall(hashlib.sha256(readAll(connection)).digest() + bytes(LARGE))

        self.offer(self.serve(answer))
        data = os.urandom(LARGE)
        status, out, err = self.exchange(data)
        self.assertEqual((status, err, len(out)), (0, "", LARGE + 32))
        self.assertEqual(out[:32], hashlib.sha256(data).digest())

    def test_targetEnds(self) -> None:
        """
        The target says all it has to say, first: whoever reads sees the end
        at once, and the rest of the input still arrives.
        """
        arrived: Queue[bytes] = Queue()

        def listen(connection: socket.socket) -> None:
            connection.sendall(b"go on")
            connection.shutdown(socket.SHUT_WR)
            arrived.put(readAll(connection))

        self.offer(self.serve(listen))
        process = self.connect()
        assert process.stdin is not None and process.stdout is not None
        self.assertEqual(process.stdout.read(), b"go on")
        self.assertEqual(process.poll(), None)
        data = os.urandom(LARGE)
        process.stdin.write(data)
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), 0)
        # The kernel has it; its reader may be slow.
        self.assertEqual(arrived.get(timeout=PATIENCE), data)

    def test_terminal(self) -> None:
        """
        From a terminal it ends as soon as the target has.
        """
        self.offer(self.serve(lambda connection: connection.sendall(connection.recv(100).upper())))
        terminal, inside = pty.openpty()
        self.addCleanup(os.close, terminal)
        process = self.connect(stdin=inside)
        os.close(inside)
        os.write(terminal, b"hello\n")
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, out, err), (0, b"HELLO\n", b""))

    def test_files(self) -> None:
        """
        Input and output may be files.
        """
        self.offer(self.target("echo"))
        source, sink = self.folder / "source", self.folder / "sink"
        source.write_bytes(os.urandom(LARGE))
        with source.open("rb") as reading, sink.open("wb") as writing:
            self.assertEqual(self.connect(stdin=reading, stdout=writing).wait(PATIENCE), 0)
        self.assertEqual(source.read_bytes(), sink.read_bytes())

    def test_socket(self) -> None:
        """
        Input and output may be one socket, and one that does not wait.
        """
        self.offer(self.target("echo"))
        ours, its = socket.socketpair()
        its.setblocking(False)
        self.addCleanup(ours.close)
        process = self.connect(stdin=its, stdout=its)
        its.close()
        data = os.urandom(LARGE)

        def send() -> None:
            ours.sendall(data)
            ours.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        ours.settimeout(PATIENCE)
        self.assertEqual(readAll(ours), data)
        sending.join()
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_backPressure(self) -> None:
        """
        Who does not read is waited for: the target cannot send on, and
        neither can who writes the input, and nothing piles up in between.
        """
        sent = [0]

        def talk(connection: socket.socket) -> None:
            with ignoring(ConnectionError):
                while True:
                    sent[0] += connection.send(bytes(1 << 16))

        self.offer(self.serve(talk))
        process = self.connect()
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        written, still = 0, 0
        deadline = time.monotonic() + PATIENCE
        while still < 10:
            self.assertLess(time.monotonic(), deadline, f"{written} bytes were read, {sent[0]} taken from the target")
            before = sent[0] + written
            time.sleep(0.1)
            with ignoring(BlockingIOError):
                while written < 64 << 20:
                    written += os.write(process.stdin.fileno(), bytes(1 << 16))
            still = still + 1 if sent[0] and sent[0] + written == before else 0
        # The windows of a stream, the buffers of the kernel, the pipes.
        self.assertLess(sent[0], 40 << 20)
        self.assertLess(written, 40 << 20)
        status = Path(f"/proc/{process.pid}/status").read_text()
        [resident] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
        self.assertLess(resident, 150 * 1024)
        # From now on it goes on.
        much = sent[0]
        self.assertEqual(len(process.stdout.read(much)), much)
        process.kill()

    def test_several(self) -> None:
        """
        With one identity there may be many at a time.
        """
        self.offer(self.target("echo"))
        them = [self.connect() for _ in range(4)]
        for number, process in enumerate(them):
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"%d" % number)
            process.stdin.flush()
            self.assertEqual(process.stdout.read(1), b"%d" % number)
        for process in them:
            self.assertEqual(process.communicate(timeout=PATIENCE), (b"", b""))
            self.assertEqual(process.returncode, 0)


class StatusTests(TargetTestCase):
    """
    Exit statuses, each with one line that says why.
    """

    def assertFails(self, status: int, says: str, *options: str, state: str = "mine") -> None:
        """
        It ends with a status and one line.
        """
        ended, out, err = self.exchange(b"hello", *options, state=state)
        self.assertEqual((ended, out, err.count("\n")), (status, b"", 1), err)
        self.assertIn(says, err)

    def test_usage(self) -> None:
        """
        Options that cannot be carried out.
        """
        for says, options in (
            ("excludes --state-dir", ("--ephemeral", "--trust-everyone", "--to", self.wayTo("forward_to_x", 1))),
            ("this is no ticket", ("--ticket", "abc")),
            ("does not end with the outlet", ("--trust-everyone", "--to", "/ip4/127.0.0.1/tcp/1/secure/api")),
            ("--connect-timeout is a number", ("--connect-timeout", "soon")),
            ("standard input is what is connected", ("--ticket", "-")),
            ("cannot read", ("--ticket", "@/nowhere")),
            ("--dance", ("--dance",)),
        ):
            self.assertFails(64, says, *options)
        self.assertFails(1, "there is no pairing in ", "--instance", "x")

    def test_refused(self) -> None:
        """
        The outlet or the target says no, or is not who it should be.
        """
        target = freePort()
        self.offer(target)
        self.assertFails(77, "refused: the outlet has refused it: refused", *self.way)
        self.assertFails(77, "the peer does not accept us", *self.way, state="stranger")
        other = self.identity("other")
        self.assertFails(77, "is not trusted here", "--authorized", other, "--to", self.wayTo(self.address))

    def test_policy(self) -> None:
        """
        A member that the policy does not let in.
        """
        self.offer(self.target("echo"), "--allow", "dba", authorized="")
        [made] = [line for line in self.ticket().splitlines() if "ockamticket" in line]
        self.assertFails(77, "not permitted", "--ticket", made.split()[-1])

    def ticket(self) -> str:
        """
        A ticket of the outlet.
        """
        command = [*self.command("--command", "ockam-outlet", state="outlet", task="ticket")]
        command.insert(command.index("ticket") + 1, "create")
        done = subprocess.run(command, env=self.environ(), capture_output=True, text=True, timeout=PATIENCE, check=True)
        return done.stdout

    def test_unreachable(self) -> None:
        """
        Nobody is there: no relay, or no outlet at it.
        """
        options = ["--connect-timeout", "2", "--trust-everyone"]
        self.assertFails(69, "Connection was refused", *options, "--to", self.wayTo("forward_to_x", freePort()))
        self.offer(self.target("echo"))
        self.assertFails(69, "unreachable: ", *options, "--to", self.wayTo("forward_to_nobody"))

    def test_late(self) -> None:
        """
        Whoever waits for long is told why, and of what place.
        """
        port = freePort()
        options = ["--connect-timeout", "4", "--trust-everyone", "--to", self.wayTo("forward_to_x", port)]
        status, out, err = self.exchange(b"hello", *options)
        self.assertEqual((status, out), (69, b""))
        first, last = err.splitlines()
        self.assertRegex(
            first, rf"\Aockam-twisted: 127\.0\.0\.1:{port}: Connection was refused.*; trying for up to 4 s\Z"
        )
        self.assertIn("unreachable: ", last)
        self.assertIn(f"127.0.0.1:{port}: Connection was refused", last)

    def test_lost(self) -> None:
        """
        The target resets the connection: what came before is still written.
        """

        def reset(connection: socket.socket) -> None:
            connection.sendall(b"half of it")
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        self.offer(self.serve(reset))
        process = self.connect()
        assert process.stdin is not None and process.stdout is not None
        self.assertEqual(process.stdout.read(10), b"half of it")
        process.stdin.write(b"x")
        process.stdin.flush()
        # The input is still open.
        assert process.stderr is not None
        self.assertEqual(process.stdout.read(), b"")
        self.assertEqual(process.wait(PATIENCE), 74)
        self.assertIn(b"lost: the other end has reset it: reset by peer", process.stderr.read())

    def test_outletGone(self) -> None:
        """
        Whose outlet does not come back has lost the stream.
        """
        self.offer(self.target("echo"))
        process = self.connect(*self.way, "--resume-timeout", "1")
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"hello")
        process.stdin.flush()
        self.assertEqual(process.stdout.read(5), b"hello")
        self.outlet.process.kill()
        out, err = process.communicate(timeout=2 * PATIENCE)
        self.assertEqual((process.returncode, out, err.count(b"\n")), (74, b"", 1))

    def test_nobodyReads(self) -> None:
        """
        Whoever reads the output has gone: the target learns of it.
        """
        ended = threading.Event()

        def talk(connection: socket.socket) -> None:
            try:
                while True:
                    connection.sendall(bytes(1 << 16))
            except ConnectionError:
                ended.set()

        self.offer(self.serve(talk))
        process = self.connect()
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE), 74)
        self.assertEqual(process.stderr.read(), b"ockam-twisted: lost: standard output: Broken pipe\n")
        self.assertTrue(ended.wait(PATIENCE))

    def test_unreadable(self) -> None:
        """
        The input cannot be read to its end: the target does not take what it
        has for all.
        """
        endings: list[str] = []
        begun, over = threading.Event(), threading.Event()

        def take(connection: socket.socket) -> None:
            connection.recv(1)
            begun.set()
            endings.append(ending(connection))
            over.set()

        self.offer(self.serve(take))
        with socket.create_server(("127.0.0.1", 0)) as server:
            says = socket.create_connection(server.getsockname())
            reads, _ = server.accept()
        with reads:
            process = self.connect(stdin=reads)
        says.sendall(b"half of it")
        self.assertTrue(begun.wait(PATIENCE))
        reset(says)
        assert process.stderr is not None
        self.assertEqual(process.wait(PATIENCE), 74)
        self.assertEqual(process.stderr.read(), b"ockam-twisted: lost: standard input: Connection reset by peer\n")
        self.assertTrue(over.wait(PATIENCE))
        self.assertEqual(endings, ["RST"])

    def test_signals(self) -> None:
        """
        It can be interrupted at any time, and the target learns of it.
        """
        ended = threading.Event()

        def wait(connection: socket.socket) -> None:
            connection.sendall(b"x")
            try:
                connection.recv(1)
            except ConnectionError:
                ended.set()

        self.offer(self.serve(wait))
        for number in (signal.SIGINT, signal.SIGTERM):
            ended.clear()
            process = self.connect()
            assert process.stdout is not None and process.stderr is not None
            process.stdout.read(1)
            process.send_signal(number)
            self.assertEqual(process.wait(PATIENCE), 128 + number)
            self.assertEqual(process.stderr.read(), b"")
            self.assertTrue(ended.wait(PATIENCE))


class PairedTests(TargetTestCase):
    """
    Where an inlet goes.
    """

    def test_paired(self) -> None:
        """
        A ticket is redeemed once; from then on none is needed, also while an
        inlet runs on the same state, which notices nothing.
        """
        self.offer(self.target("echo"), authorized="")
        ticket = self.outlet.value("Ticket")
        self.assertEqual(self.exchange(b"one", "--ticket", ticket), (0, b"one", ""))
        self.assertEqual(self.exchange(b"two", "--ticket", ticket), (0, b"two", ""))
        self.assertEqual(self.exchange(b"three", "--instance", "x"), (0, b"three", ""))
        port = freePort()
        inlet = self.twist("ockam-inlet", "--listen", str(port), state="mine")
        self.waitForPort(port)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            for text in (b"before", b"after"):
                client.sendall(text)
                self.assertEqual(client.recv(100), text)
                self.assertEqual(self.exchange(b"four", "--instance", "x"), (0, b"four", ""))
        self.assertNotIn("is down", inlet.text())
        self.assertNotIn("reset", inlet.text())

    def test_listen(self) -> None:
        """
        The one client of a port takes the place of input and output.
        """
        self.offer(self.target("echo"))
        for text in (b"hello", b""):
            port = freePort()
            process = self.connect(*self.way, "--listen", str(port), "--once", stdin=subprocess.DEVNULL)
            while True:
                try:
                    client = socket.create_connection(("127.0.0.1", port), PATIENCE)
                    break
                except ConnectionRefusedError:
                    self.assertEqual(process.poll(), None)
                    time.sleep(0.05)
            with client:
                client.settimeout(PATIENCE)
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(readAll(client), text)
            self.assertEqual(process.wait(PATIENCE), 0)
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        at = str(taken.getsockname()[1])
        self.assertEqual(
            self.exchange(b"", *self.way, "--listen", at),
            (1, b"", f"ockam-twisted: cannot listen on {at}: Address already in use\n"),
        )


class RelayTests(TargetTestCase):
    """
    The relay goes away and comes back.
    """

    def test_restart(self) -> None:
        """
        200 MB each way, every byte of them, although the relay is killed and
        started anew in the middle.
        """
        size = 200 << 20
        block = os.urandom(1 << 20)
        told: Queue[str] = Queue()

        def both(connection: socket.socket) -> None:
            digest = hashlib.sha256()

            def receive() -> None:
                while data := connection.recv(1 << 18):
                    digest.update(data)
                told.put(digest.hexdigest())

            receiving = threading.Thread(target=receive)
            receiving.start()
            for number in range(size >> 20):
                connection.sendall(number.to_bytes(4, "big") + block[4:])
            connection.shutdown(socket.SHUT_WR)
            receiving.join()

        self.offer(self.serve(both))
        expected = hashlib.sha256()
        for number in range(size >> 20):
            expected.update(number.to_bytes(4, "big") + block[4:])
        process = self.connect()
        writing, reading = process.stdin, process.stdout
        assert writing is not None and reading is not None

        def send() -> None:
            for number in range(size >> 20):
                writing.write(number.to_bytes(4, "big") + block[4:])
            writing.close()

        sending = threading.Thread(target=send)
        sending.start()
        received, count = hashlib.sha256(), 0
        restarts = [size // 4, size // 2]
        while data := os.read(reading.fileno(), 1 << 18):
            received.update(data)
            count += len(data)
            if restarts and count > restarts[0]:
                restarts.pop(0)
                self.relay.process.kill()
                self.relay.process.wait()
                self.startRelay()
        sending.join()
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual((count, restarts), (size, []))
        self.assertEqual(received.hexdigest(), expected.hexdigest())
        self.assertEqual(told.get(timeout=PATIENCE), expected.hexdigest())
