"""
What a node says, and what it costs the others, when something around it is
wrong: under C{twist}, C{twistd -n} and C{twistd} in the background; real
processes, sockets and time.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.processes import PATIENCE, ROOT, ScenarioTestCase, eachVariant, freePort

_TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]

#: Seconds in which a client is told, at most.
TOLD = 15.0


def texts(log: str) -> list[str]:
    """
    The lines of a log that are about one thing; C{twist} writes JSON where
    nobody looks.
    """
    return [line for line in re.split(r"[\n\x1e]", log) if line.strip()]


class _Server:
    """
    Accepts and does what a test says with each connection, in threads.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(client,), daemon=True).start()

    def _run(self, client: socket.socket) -> None:
        with client:
            try:
                self._serve(client)
            except OSError:
                pass

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def _echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def _banner(client: socket.socket) -> None:
    client.sendall(b"220 speaks first\r\n")
    client.recv(1)


def _web(client: socket.socket) -> None:
    client.recv(1000)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def _silent(client: socket.socket) -> None:
    while client.recv(65536):
        pass


class BadInputTestCase(ScenarioTestCase):
    """
    Nodes under any of the three runners.
    """

    def server(self, serve: Callable[[socket.socket], None]) -> int:
        """
        @return: The port of a server that does that.
        """
        server = _Server(serve)
        self.addCleanup(server.close)
        return server.port

    def runs(self, runner: str, plugin: str, *arguments: str, state: str = "") -> Callable[[], str]:
        """
        Start a node.

        @return: Tells what it has said so far, with its log.
        """
        if runner == "twist":
            return self.twist(plugin, *arguments, state=state).text
        self.count += 1
        name = f"{runner.replace(' ', '')}{self.count}"
        folder = str(self.folder / (state or name))
        files = ["--pidfile", str(self.folder / f"{name}.pid")]
        if runner == "twistd -n":
            return self.start(*_TWISTD, "-n", *files, plugin, *arguments, "--state-dir", folder).text
        log = self.folder / f"{name}.log"
        done = subprocess.run(
            [*_TWISTD, *files, "--logfile", str(log), plugin, *arguments, "--state-dir", folder],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.addCleanup(self._end, self.folder / f"{name}.pid")
        return lambda: log.read_text("utf-8", "replace") if log.exists() else ""

    def _end(self, pidfile: Path) -> None:
        os.kill(int(pidfile.read_text()), 15)
        deadline = time.monotonic() + PATIENCE
        while pidfile.exists():
            self.assertLess(time.monotonic(), deadline, "the daemon did not end")
            time.sleep(0.05)

    def says(self, said: Callable[[], str], text: str, seconds: float = PATIENCE) -> str:
        """
        Wait until a node says something.

        @return: The first line that says it.
        """
        deadline = time.monotonic() + seconds
        while True:
            for line in texts(said()):
                if text in line:
                    return line
            self.assertLess(time.monotonic(), deadline, f"no {text!r} in {said()[-3000:]}")
            time.sleep(0.05)

    def told(self, port: int) -> None:
        """
        A client of an inlet is told in time that nothing comes of it.
        """
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(TOLD + 10)
            try:
                client.sendall(b"hello?")
                while client.recv(1000):
                    pass
            except ConnectionError:
                pass
        self.assertLess(time.monotonic() - begun, TOLD)

    def inlet(self, runner: str, to: str, authorized: str) -> tuple[int, Callable[[], str]]:
        """
        An inlet on its way somewhere.
        """
        port = freePort()
        said = self.runs(runner, "ockam-inlet", "--listen", str(port), "--to", to, "--authorized", authorized)
        self.waitForPort(port)
        return port, said

    def goesOn(self, port: int) -> Callable[[], None]:
        """
        Open a stream to an echo; what is returned checks that it goes on.
        """
        client = socket.create_connection(("127.0.0.1", port), 10)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)

        def check() -> None:
            client.sendall(b"still there?")
            got = b""
            while len(got) < 12:
                data = client.recv(100)
                self.assertTrue(data, "a stream of somebody else was ended")
                got += data

        check()
        return check


class MistakeTests(ScenarioTestCase):
    """
    What is typed wrong.
    """

    def test_short(self) -> None:
        """
        The error is not pushed off a terminal by the help, which is named.
        """
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        for program, said, stream in (
            ([sys.executable, "-m", "twisted"], "Error: ", "stderr"),
            ([*_TWISTD, "-n"], "-c -n: ", "stdout"),
        ):
            done = subprocess.run(
                [*program, "ockam-outlet", "--traget", "127.0.0.1:80"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                env=environ,
                cwd=self.folder,
            )
            lines = getattr(done, stream).splitlines()
            self.assertIn(f"{said}there is no option --traget; did you mean --target?", lines)
            self.assertIn("See `twist ockam-outlet --help`", lines)
            self.assertLess(len(lines), 6)
            self.assertNotEqual(done.returncode, 0)


eachRunner = eachVariant("twist", "twistd -n", "twistd")


@eachRunner
class WayTests(BadInputTestCase):
    """
    Something on the way is wrong.
    """

    def test_relay(self, runner: str) -> None:
        """
        A relay that cannot be resolved, that is not there, that speaks HTTP,
        and that says nothing: one line each that names it and says when the
        next try is; clients of the inlet are told.
        """
        nobody = "I" + "0" * 64
        web, silent, closed = self.server(_web), self.server(_silent), freePort()
        inlets = []
        for host, port, why in (
            ("no-such-host.invalid", 4000, "no-such-host.invalid"),
            ("127.0.0.1", closed, "refused"),
            ("127.0.0.1", web, "version"),
            ("127.0.0.1", silent, "no version byte within"),
        ):
            said = self.runs(
                runner, "ockam-outlet", "--target", "127.0.0.1:9", "--authorized", nobody, "--relay", f"{host}:{port}"
            )
            protocol = "ip4" if host == "127.0.0.1" else "dnsaddr"
            to = f"/{protocol}/{host}/tcp/{port}/service/forward_to_x/secure/api/service/outlet"
            inlets.append((self.inlet(runner, to, nobody), said, why))
        threads = [threading.Thread(target=self.told, args=(port,)) for (port, _), _, _ in inlets]
        for thread in threads:
            thread.start()
        for (_, inlet), outlet, why in inlets:
            for said in (inlet, outlet):
                self.assertIn("next try in", self.says(said, why))
                # One line, however often it has tried by now.
                lines = [line for line in texts(said()) if why in line and "A client was refused" not in line]
                # How often it was is said after a while.
                lines = [line for line in lines if " more times in " not in line]
                self.assertEqual(len(lines), 1, said())
        for thread in threads:
            thread.join(TOLD + 15)
            self.assertFalse(thread.is_alive(), "a client was not told")

    def test_others(self, runner: str) -> None:
        """
        Beside a stream that works: an outlet with another identifier than
        expected, a name that is taken, a target that refuses, and one that
        cannot be resolved; the stream goes on.
        """
        echo, relayPort = self.server(_echo), freePort()
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        relay = self.runs(runner, "ockam-relay", "--listen", f"tcp:{relayPort}:interface=127.0.0.1", state="relay")
        self.waitForPort(relayPort)

        def start(target: str, state: str, *more: str) -> Callable[[], str]:
            return self.runs(
                runner, "ockam-outlet", "--target", target, "--relay", f"127.0.0.1:{relayPort}",
                "--authorized", inlet, *more, state=state,
            )  # fmt: skip

        def reach(name: str, authorized: str, state: str) -> tuple[int, Callable[[], str]]:
            port = freePort()
            to = f"/ip4/127.0.0.1/tcp/{relayPort}/service/forward_to_{name}/secure/api/service/outlet"
            said = self.runs(
                runner, "ockam-inlet", "--listen", str(port), "--to", to, "--authorized", authorized, state=state
            )
            self.waitForPort(port)
            return port, said

        self.says(start(f"127.0.0.1:{echo}", "outlet", "--name", "shop"), "Forwarding address")
        port, _ = reach("shop", outlet, "inlet")
        check = self.goesOn(port)
        # Somebody else wants the name.
        thief = start(f"127.0.0.1:{echo}", "thief", "--name", "shop")
        self.assertIn("next try in", self.says(thief, "did not register shop"))
        self.says(relay, "belongs to another identity")
        check()
        # Somebody else than expected answers.
        wrong, said = reach("shop", "I" + "1" * 64, "wrong")
        self.told(wrong)
        self.assertIn("next try in", self.says(said, "is not trusted here; no way for"))
        check()
        # The target is not there, or nowhere.
        for target, why in ((f"127.0.0.1:{freePort()}", "refused"), ("no-such-host.invalid:80", "no-such-host")):
            state = f"outlet-{why}"
            who = self.identity(state)
            outlet = start(target, state)
            self.says(outlet, "Forwarding address")
            self.identityFor(f"inlet-{why}", "inlet")
            there, _ = reach(who, who, "inlet-" + why)
            self.told(there)
            self.assertIn(why, self.says(outlet, "does not answer"))
            check()

    def identityFor(self, state: str, like: str) -> None:
        """
        Give a state folder the identity of another one.
        """
        target = self.folder / state
        target.mkdir(mode=0o700)
        for each in (self.folder / like).iterdir():
            if each.is_file() and each.name != "lock":
                shutil.copy(each, target / each.name)

    def test_bannerAndGarbage(self, runner: str) -> None:
        """
        A target that speaks first is heard.  Garbage at the relay and at an
        outlet that listens costs the sender its connection, and nobody else
        anything.
        """
        echo, banner, relayPort, direct = self.server(_echo), self.server(_banner), freePort(), freePort()
        inlet, outlet = self.identity("inlet"), self.identity("outlet")
        self.runs(runner, "ockam-relay", "--listen", f"tcp:{relayPort}:interface=127.0.0.1", state="relay")
        self.waitForPort(relayPort)
        self.runs(
            runner, "ockam-outlet", "--target", f"127.0.0.1:{banner}", "--listen", f"tcp:{direct}:interface=127.0.0.1",
            "--authorized", inlet, state="direct",
        )  # fmt: skip
        said = self.runs(
            runner, "ockam-outlet", "--target", f"127.0.0.1:{echo}", "--relay", f"127.0.0.1:{relayPort}",
            "--authorized", inlet, state="outlet",
        )  # fmt: skip
        self.says(said, "Forwarding address")
        self.waitForPort(direct)
        self.identityFor("inlet2", "inlet")
        ports = []
        for to, authorized, state in (
            (f"/ip4/127.0.0.1/tcp/{relayPort}/service/forward_to_{outlet}/secure/api/service/outlet", outlet, "inlet"),
            (f"/ip4/127.0.0.1/tcp/{direct}/secure/api/service/outlet", self.identity("direct"), "inlet2"),
        ):
            port = freePort()
            self.runs(runner, "ockam-inlet", "--listen", str(port), "--to", to, "--authorized", authorized, state=state)
            self.waitForPort(port)
            ports.append(port)
        with socket.create_connection(("127.0.0.1", ports[1]), 10) as client:
            client.settimeout(PATIENCE)
            self.assertEqual(client.recv(18, socket.MSG_WAITALL), b"220 speaks first\r\n")
        check = self.goesOn(ports[0])
        for listener in (relayPort, direct):
            for garbage in (
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00",
                b"\x01\xff\xff\xff\xff",
                b"\x01\x00\x00\x00\x00",
                b"\x01\x00\x00\x00\x01x",
                b"\x01\x00\x00\x00\x05\x84\x9f\x9f\x9f\x9f",
                b"\x00" * 100,
            ):
                with socket.create_connection(("127.0.0.1", listener), 5) as client:
                    client.settimeout(10)
                    client.sendall(garbage)
                    try:
                        while client.recv(100):
                            pass
                    except ConnectionResetError:
                        pass
        check()
