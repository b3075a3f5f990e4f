"""
A relay of several processes; real processes, sockets and time.

The relay hands a connection to the process that has what it is bound for, so
that inlet and outlet meet in one process.  Who is slow to say where it is
bound for (L{tests.scenarios.late}) is handed to the process with fewest
connections, which is how the tests get them apart.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ockam_twisted.wire.frames import VERSION, encodeFrame
from ockam_twisted.wire.messages import encodeTransport
from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, eachVariant, freePort, steady

#: Seconds; the relay waits for one.
LATE = "1.5"

#: Bytes of a transfer, the same in both directions.
MIB = 1024 * 1024
SIZE = 512 * MIB

CLIENTS = 200


def pids(relay: Program) -> dict[int, int]:
    """
    The processes of a relay, by number.
    """
    found = {0: relay.pid}
    for number, pid in re.findall(r"Process (\d+) runs: (\d+)", relay.text()):
        found[int(number)] = int(pid)
    return found


def connections(pid: int, port: int) -> int:
    """
    How many connections to a port of its machine a process has.
    """
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
            inodes.add(f"socket:[{fields[9]}]")
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(each) in inodes
        except OSError:
            pass
    return count


def isRunning(pid: int) -> bool:
    """
    Is there a process, other than a dead one that nobody has asked about?
    """
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def until(happened: Callable[[], bool], what: str) -> None:
    """
    Wait for something.
    """
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never happened: {what}")
        time.sleep(0.05)


class ProcessesTestCase(ScenarioTestCase):
    """
    A relay, and an outlet and an inlet at different processes of it.
    """

    relay: Program
    relayPort: int

    def startRelay(self, processes: str) -> None:
        """
        Start it, and wait for all its processes.
        """
        self.relayPort = freePort()
        listen = f"tcp:{self.relayPort}:interface=127.0.0.1"
        self.relay = self.twist("ockam-relay", "--listen", listen, "--processes", processes, state="relay")
        until(lambda: len(pids(self.relay)) == int(processes), "all processes run")

    def startOutlet(self, target: int, at: int, state: str = "outlet", *options: str) -> str:
        """
        Start an outlet for the inlet.

        @param at: The port by which it reaches the relay.
        @return: Its forwarding address.
        """
        outlet = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{target}", "--relay", f"127.0.0.1:{at}",
            "--authorized", self.identity("inlet"), *options, state=state,
        )  # fmt: skip
        return outlet.value("Forwarding address")

    def startInlet(self, address: str, at: int) -> int:
        """
        Start the inlet.

        @return: The port where clients connect.
        """
        port = freePort()
        # The first attempt of an inlet is not as patient as L{late} is slow.
        self.inlet = self.twist(
            "ockam-inlet", "--listen", str(port), "--authorized", self.identity("outlet"),
            "--to", f"/ip4/127.0.0.1/tcp/{at}/service/{address}/secure/api/service/outlet",
            "--connect-timeout", "60", state="inlet",
        )  # fmt: skip
        self.inlet.value("Identifier")
        self.waitForPort(port)
        return port

    def late(self) -> int:
        """
        @return: The port of a way to the relay that is slow to begin.
        """
        script = str(Path(__file__).with_name("late.py"))
        return int(self.start(sys.executable, script, str(self.relayPort), LATE).value("Port"))

    def apart(self, target: int, processes: str) -> int:
        """
        Start all, with inlet and outlet at different processes.

        @return: The port where clients connect.
        """
        self.startRelay(processes)
        address, at = self.startOutlet(target, self.relayPort), self.late()
        # A relay that gets no time when somebody connects looks when that one is not late any more.
        for _ in range(4):
            port = self.startInlet(address, at)
            self.ask(port)
            if sum(connections(pid, self.relayPort) > 0 for pid in pids(self.relay).values()) == 2:
                return port
            self.inlet.end()
        self.fail("inlet and outlet are at one process")

    def ask(self, port: int, text: bytes = b"hello") -> bytes:
        """
        Send something to an echo, and get it back.
        """
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(text)
            return self.receive(client, len(text))

    def receive(self, client: socket.socket, size: int) -> bytes:
        """
        Receive so many bytes.
        """
        got = bytearray()
        while len(got) < size:
            data = client.recv(size - len(got))
            self.assertTrue(data, "closed early")
            got += data
        return bytes(got)

    def exchange(self, port: int, size: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """
        Send much to an echo while it comes back, and compare.

        @param meanwhile: Called when a quarter is back.
        """
        block = bytearray(os.urandom(MIB))
        sent, got, back = hashlib.sha256(), hashlib.sha256(), 0

        def send() -> None:
            for number in range(size // MIB):
                block[:8] = number.to_bytes(8, "big")
                sent.update(block)
                client.sendall(block)
            client.shutdown(socket.SHUT_WR)

        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(60)
            sending = threading.Thread(target=send)
            sending.start()
            while data := client.recv(MIB):
                if back < size // 4 <= back + len(data):
                    meanwhile()
                got.update(data)
                back += len(data)
            sending.join()
        self.assertEqual((back, got.hexdigest()), (size, sent.hexdigest()))


@eachVariant("2", "4")
class ApartTests(ProcessesTestCase):
    """
    Inlet and outlet at different processes.
    """

    def test_large(self, processes: str) -> None:
        """
        Half a GiB goes there and comes back, unchanged, and costs no memory.
        """
        port = self.apart(self.target("echo"), processes)
        self.exchange(port, SIZE)
        for pid in pids(self.relay).values():
            status = Path(f"/proc/{pid}/status").read_text()
            peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
            self.assertLess(peak, 160 * 1024, f"process {pid} of the relay")

    def test_many(self, processes: str) -> None:
        """
        Many clients at once are served, each with its own bytes.
        """
        port = self.apart(self.target("echo"), processes)
        clients = []
        for number in range(CLIENTS):
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self.addCleanup(client.close)
            client.settimeout(PATIENCE)
            client.sendall(b"%06d" % number * 1000)
            clients.append(client)
        for number, client in enumerate(clients):
            self.assertEqual(self.receive(client, 6000), b"%06d" % number * 1000)

    def test_killed(self, processes: str) -> None:
        """
        Each process but the first is killed in the middle of a transfer: it
        is started again, and the transfer goes on where it was.
        """
        port = self.apart(self.target("echo"), processes)

        def kill() -> None:
            others = pids(self.relay)
            for number in others:
                if number:
                    os.kill(others[number], signal.SIGKILL)
            until(lambda: all(pids(self.relay)[each] != others[each] for each in others if each), "they run again")

        self.exchange(port, 64 * MIB, kill)
        self.assertEqual(self.ask(port), b"hello")

    def test_firstKilled(self, processes: str) -> None:
        """
        Without the first process there is none.
        """
        self.apart(self.target("echo"), processes)
        before = pids(self.relay)
        os.kill(before[0], signal.SIGKILL)
        self.relay.process.wait()
        until(lambda: not any(map(isRunning, before.values())), "all have ended")

    def test_stopped(self, processes: str) -> None:
        """
        Told to stop, all of them end, also if everybody is told.
        """
        self.apart(self.target("echo"), processes)
        before = pids(self.relay)
        for pid in reversed(before.values()):
            os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.relay.process.wait(PATIENCE), -signal.SIGTERM)
        self.assertFalse(any(map(isRunning, before.values())))


class TogetherTests(ProcessesTestCase):
    """
    What counts for all processes together.
    """

    def test_together(self) -> None:
        """
        An inlet is led to the process that has its outlet, also while others
        are elsewhere.
        """
        self.startRelay("2")
        port = self.startInlet(self.startOutlet(self.target("echo"), self.relayPort), self.relayPort)
        self.ask(port)
        self.assertEqual(sorted(connections(pid, self.relayPort) for pid in pids(self.relay).values()), [0, 2])

    def test_secondSignal(self) -> None:
        """
        A connection whose far end does not close holds the end up at another
        process, too; a second signal does not wait for it.
        """
        # Who waits takes two seconds each time; a busy machine does not.
        self.assertTrue(any(self._stopTwice() < 1.5 for _ in range(3)))

    def _stopTwice(self) -> float:
        self.startRelay("2")
        before = pids(self.relay)
        with socket.create_connection(("127.0.0.1", self.relayPort), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(VERSION)
            self.assertEqual(self.receive(client, 1), VERSION)
            until(lambda: connections(before[1], self.relayPort) == 1, "it is handed on")
            self.relay.process.send_signal(signal.SIGTERM)
            self.assertEqual(client.recv(1), b"")
            if not all(map(isRunning, before.values())):
                # The machine stood still for as long as it waits.
                self.relay.process.wait(PATIENCE)
                return PATIENCE
            started = time.monotonic()
            self.relay.process.send_signal(signal.SIGTERM)
            self.relay.process.wait(PATIENCE)
            until(lambda: not any(map(isRunning, before.values())), "all have ended")
            return time.monotonic() - started

    def test_takenOver(self) -> None:
        """
        A second outlet of the same identity, at another process, takes the
        name over: inlets are led there from then on.
        """
        self.startRelay("2")
        targets = []
        for number in (1, 2):
            folder = self.folder / f"private{number}"
            folder.mkdir()
            (folder / "who").write_text(f"target {number}")
            targets.append(self.target("files", str(folder)))
        address = self.startOutlet(targets[0], self.relayPort)
        # The same secrets, in a folder that nobody else has open.
        (self.folder / "copy").mkdir(mode=0o700)
        source = sqlite3.connect(self.folder / "outlet" / "state.sqlite")
        copy = sqlite3.connect(self.folder / "copy" / "state.sqlite")
        with closing(source), closing(copy):
            source.backup(copy)
        (self.folder / "copy" / "state.sqlite").chmod(0o600)
        self.assertEqual(self.startOutlet(targets[1], self.late(), "copy"), address)
        self.assertEqual({connections(pid, self.relayPort) for pid in pids(self.relay).values()}, {1})
        port = self.startInlet(address, self.relayPort)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"GET /who HTTP/1.0\r\n\r\n")
            answer = b""
            while data := client.recv(1000):
                answer += data
        self.assertTrue(answer.endswith(b"target 2"), answer)

    def test_limit(self) -> None:
        """
        As many connections come from one address as one process would have;
        they are spread evenly, and when they are over nothing of them is
        left.
        """
        self.startRelay("2")
        processes = pids(self.relay).values()

        def files() -> list[int]:
            return [len(os.listdir(f"/proc/{pid}/fd")) for pid in processes]

        # A process may not have taken its link yet when it is said to run.
        before = steady(files)
        clients = [socket.create_connection(("127.0.0.1", self.relayPort)) for _ in range(270)]
        frame = VERSION + encodeFrame(encodeTransport([(0, b"echo")], [(0, b"me")], b"ping"))
        answered = 0
        for client in clients:
            client.settimeout(PATIENCE)
            try:
                client.sendall(frame)
                self.receive(client, 1)
                self.receive(client, 4)
                answered += 1
            except OSError:
                pass
            except AssertionError:
                # It was closed instead.
                pass
        self.assertEqual(answered, 256)
        self.assertEqual([connections(pid, self.relayPort) for pid in processes], [128, 128])
        for client in clients:
            client.close()
        until(lambda: files() == before, "all descriptors are closed")
