"""
C{ockam-node} whose file is changed while it runs, as an operator would, under
transfers of which every byte is checked.  Real processes and sockets, in real
time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ockam_twisted.control import askNode
from tests.scenarios.objects import leaks, objects
from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, canConnect, freePort
from tests.scenarios.transfers import Transfer, Transfers

#: Somebody else.
WHO = "I" + "0" * 64


#: Of what a connection remembers of 25 channels that have gone, so many more.
REMEMBERED = {
    "ockam_twisted.routing.inbound.Inbound": 75,
    "ockam_twisted.routing.flow.Flow": 75,
    "ockam_twisted.routing.addresses.Route": 150,
    "ockam_twisted.routing.addresses.Address": 300,
}


class ThisHost:
    """
    This machine, as a place for a target.
    """

    def listen(self) -> socket.socket:
        """
        Listen on some port.
        """
        return socket.create_server(("127.0.0.1", 0), backlog=64)


class ReloadTestCase(ScenarioTestCase):
    """
    A node with outlets and a node with inlets, each from a file, and relays.

    @cvar counted: Can the nodes be asked for what they hold?
    """

    counted = False

    def setUp(self) -> None:
        """
        Start everything, with eight transfers.
        """
        super().setUp()
        self.transfers = Transfers(ThisHost())  # type: ignore[arg-type]
        self.addCleanup(self.transfers.close)
        self.echo = self.target("echo")
        self.relays: dict[int, Program] = {}
        self.first, self.second = self.relay(), self.relay()
        self.who = {name: self.identity(name) for name in ("far", "near")}
        self.port, self.extraPort = freePort(), freePort()
        self.far: dict[str, Any] = {
            "registrations": [{"relay": f"127.0.0.1:{self.first}", "name": "far"}],
            "outlets": [{"target": f"127.0.0.1:{self.transfers.port}", "address": "main"}],
            "authorized": [self.who["near"]],
            "drain-timeout": 2,
        }
        self.near: dict[str, Any] = {
            "inlets": [{"name": "main", "listen": self.port, "to": [self.way(self.first, "main")]}],
            "drain-timeout": 5,
        }
        self.programs = {"far": self.node("far", self.far)}
        self.programs["far"].value("Forwarding address")
        self.programs["near"] = self.node("near", self.near)
        self.waitForPort(self.port)
        for _ in range(8):
            self.begin()
        self.goOn()

    def way(self, relay: int, outlet: str) -> str:
        """
        The way to an outlet.
        """
        return f"{self.who['far']}@/ip4/127.0.0.1/tcp/{relay}/service/forward_to_far/secure/api/service/{outlet}"

    def relay(self) -> int:
        """
        Start a relay.

        @return: Its port.
        """
        port = freePort()
        at = f"tcp:{port}:interface=127.0.0.1"
        self.relays[port] = self.twist("ockam-relay", "--listen", at, state=f"relay{port}")
        self.relays[port].value("Identifier")
        return port

    def write(self, name: str, content: dict[str, Any]) -> Path:
        """
        Write the file of a node.
        """
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps({"state": {"folder": str(self.folder / name)}, **content}, indent=1))
        return path

    def node(self, name: str, content: dict[str, Any]) -> Program:
        """
        Start a node.
        """
        path = self.write(name, content)
        counted = [str(Path(__file__).with_name("counted.py")), "--log-format=text"]
        program = counted if self.counted else ["-m", "twisted"]
        return self.start(sys.executable, *program, "ockam-node", "--config", str(path))

    def command(self, name: str, task: str = "reload") -> subprocess.CompletedProcess[str]:
        """
        Run C{ockam-twisted reload}.
        """
        return subprocess.run(
            [sys.executable, "-m", "ockam_twisted.command", task, "--state-dir", str(self.folder / name)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            check=False,
        )

    def reload(self, name: str, content: dict[str, Any]) -> dict[str, list[str]]:
        """
        Change the file of a node, and have it read.
        """
        self.write(name, content)
        result: dict[str, list[str]] = askNode(self.folder / name, "reload", {})
        return result

    def begin(self) -> Transfer:
        """
        Begin one more transfer.
        """
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        return self.transfers.begin(client, 300_000)

    def check(self) -> None:
        """
        Nothing has gone wrong so far.
        """
        for each in self.transfers.all:
            self.assertEqual(each.errors, [], f"transfer {each.name.hex()}")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """
        Wait until something is so.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                self.fail(f"{what}\n{self.programs['near'].text()[-3000:]}\n{self.programs['far'].text()[-3000:]}")
            time.sleep(0.05)

    def goOn(self) -> None:
        """
        Every transfer goes on, both ways.
        """
        flows = [flow for each in self.transfers.all for flow in (each.up, each.down)]
        before = [flow.received for flow in flows]
        self.until(
            lambda: all(flow.received > was + 100_000 for flow, was in zip(flows, before, strict=True)),
            "all transfers go on",
        )

    def finish(self) -> None:
        """
        It is enough: every byte has come, once and in order, and the end.
        """
        for each in self.transfers.all:
            each.enough.set()
        self.until(lambda: all(each.isOver for each in self.transfers.all), "all transfers end")
        self.check()
        for each in self.transfers.all:
            for flow in (each.up, each.down):
                self.assertTrue(flow.hasFinished)
                self.assertEqual(flow.received, flow.sent)

    def echoes(self, port: int) -> bool:
        """
        Does what is sent to a port come back?
        """
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.settimeout(5)
                client.sendall(b"hello")
                return client.recv(5) == b"hello"
        except OSError:
            return False

    def extra(self, **trust: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Both files, with one more outlet and its inlet.
        """
        outlet = {"target": f"127.0.0.1:{self.echo}", "address": "extra", **trust}
        inlet = {"name": "extra", "listen": self.extraPort, "to": [self.way(self.first, "extra")]}
        return (
            {**self.far, "outlets": [*self.far["outlets"], outlet]},
            {**self.near, "inlets": [*self.near["inlets"], inlet]},
        )


class ReloadTests(ReloadTestCase):
    """
    What an operator does.
    """

    def test_underTransfers(self) -> None:
        """
        Inlets, outlets and registrations come and go around eight transfers,
        policies change, the way moves to another relay, and the first one is
        taken away: nothing is lost or wrong.
        """
        far, near = self.extra()
        self.assertEqual(self.reload("far", far)["added"], ["outlet extra"])
        self.assertEqual(self.reload("near", near)["added"], ["inlet extra"])
        self.waitForPort(self.extraPort)
        self.until(lambda: self.echoes(self.extraPort), "the new outlet is reached")
        self.goOn()
        # Who may use it.
        far, _ = self.extra(authorized=[WHO])
        self.assertEqual(self.reload("far", far)["changed"], ["outlet extra"])
        self.assertFalse(self.echoes(self.extraPort))
        far, _ = self.extra(allow=f'(= subject.identifier "{self.who["near"]}")')
        self.reload("far", far)
        self.until(lambda: self.echoes(self.extraPort), "it is reached again")
        self.goOn()
        # What is removed drains: a stream has five seconds.
        with socket.create_connection(("127.0.0.1", self.extraPort), 5) as client:
            client.settimeout(10)
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
            began = time.monotonic()
            self.assertEqual(self.reload("near", self.near)["removed"], ["inlet extra"])
            self.assertFalse(canConnect(self.extraPort))
            client.sendall(b"again")
            self.assertEqual(client.recv(5), b"again")
            with self.assertRaises(ConnectionResetError):
                client.recv(5)
            self.assertGreater(time.monotonic() - began, 1.0)
        self.assertEqual(self.reload("far", self.far)["removed"], ["outlet extra"])
        self.goOn()
        # The way moves to the other relay.
        both = [{"relay": f"127.0.0.1:{each}", "name": "far"} for each in (self.first, self.second)]
        self.assertEqual(
            self.reload("far", {**self.far, "registrations": both})["added"], [f"relay 127.0.0.1:{self.second} as far"]
        )
        inlet = {**self.near["inlets"][0], "to": [self.way(self.second, "main")]}
        self.assertEqual(self.reload("near", {**self.near, "inlets": [inlet]})["changed"], ["inlet main"])
        self.programs["near"].waitForText(f"/ip4/127.0.0.1/tcp/{self.second}")
        self.goOn()
        result = self.reload("far", {**self.far, "registrations": both[1:]})
        self.assertEqual(result["removed"], [f"relay 127.0.0.1:{self.first} as far"])
        self.goOn()
        self.relays[self.first].process.kill()
        self.goOn()
        # A whole second is more than any of the resumptions took.
        longest = max(flow.longest for each in self.transfers.all for flow in (each.up, each.down))
        print(f"\n      the longest pause of a transfer was {longest:.2f} s", end="", flush=True)
        self.begin()
        self.goOn()
        self.finish()

    def test_errors(self) -> None:
        """
        A file with an error changes nothing, nor does one that names a port
        that somebody else has, or that needs a restart: the command says why,
        with exit status 1, and so does the log after SIGHUP.
        """
        before = self.command("near", "status").stdout
        _, near = self.extra()
        with ThisHost().listen() as taken:
            port = taken.getsockname()[1]
            inlets = [*near["inlets"], {**near["inlets"][1], "name": "third", "listen": port}]
            wrongs = (
                ({**near, "inlets": [*near["inlets"], {"nam": "x"}]}, "did you mean name?"),
                ({**near, "inlets": inlets}, f"cannot listen on tcp:{port}:interface=127.0.0.1: Address already"),
                ({**near, "state": {"folder": str(self.folder / "elsewhere")}}, "restart"),
            )
            for number, (wrong, expected) in enumerate(wrongs, 1):
                self.write("near", wrong)
                done = self.command("near")
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn(expected, done.stderr)
                self.assertFalse(canConnect(self.extraPort))
                self.programs["near"].process.send_signal(signal.SIGHUP)
                self.until(
                    lambda told=2 * number: self.programs["near"].text().count("Not reloaded: ") == told,
                    "SIGHUP is answered, too",
                )
                self.goOn()
        self.assertEqual(self.command("near", "status").stdout.splitlines()[1:3], before.splitlines()[1:3])
        # What is right is taken by SIGHUP, too.
        self.write("near", near)
        self.programs["near"].process.send_signal(signal.SIGHUP)
        self.waitForPort(self.extraPort)
        done = self.command("near")
        self.assertEqual((done.returncode, done.stdout), (0, "kept: inlet main\nkept: inlet extra\n"), done.stderr)
        self.finish()

    def test_nothingToRead(self) -> None:
        """
        A relay that was started by options goes on after SIGHUP, and says
        why.
        """
        relay = self.relays[self.first]
        relay.process.send_signal(signal.SIGHUP)
        relay.waitForText("started by options alone")
        self.goOn()
        self.finish()


class LeakTests(ReloadTestCase):
    """
    Many reloads.
    """

    counted = True

    def test_hundred(self) -> None:
        """
        A hundred reloads, each with something added, removed or changed,
        disturb no transfer and leave nothing behind.
        """
        far, near = self.extra()
        second = {"relay": f"127.0.0.1:{self.second}", "name": "far"}
        # One relay name leads to one registration.
        far = {**far, "registrations": [*far["registrations"], {**second, "name": "other"}], "drain-timeout": 0.5}
        near = {**near, "drain-timeout": 0.5}

        def there(number: int) -> None:
            listen = {"listen": [freePort()]} if number % 3 == 0 else {}
            self.assertTrue(self.reload("far", {**far, **listen})["added"])
            self.assertTrue(self.reload("near", near)["added"])
            if number % 5 == 0:
                self.until(lambda: self.echoes(self.extraPort), "the extra outlet is reached")

        def back() -> None:
            self.assertTrue(self.reload("near", {**self.near, "drain-timeout": 0.5})["removed"])
            self.assertTrue(self.reload("far", {**self.far, "drain-timeout": 0.5})["removed"])

        for number in range(3):
            there(number)
            back()
        time.sleep(3)
        before = self.holding()
        for number in range(25):
            there(number)
            back()
            if number % 8 == 0:
                self.goOn()
        deadline = time.monotonic() + PATIENCE
        while (left := self.left(before)) and time.monotonic() < deadline:
            time.sleep(1)
        self.assertFalse(left, "\n".join(f"{what}: {numbers}" for what, numbers in sorted(left.items())))
        self.goOn()
        self.finish()

    def left(self, before: dict[str, dict[str, int]]) -> dict[str, str]:
        """
        What there is more than before.
        """
        # The connection to the relay remembers the routes of whatever has
        # come over it, up to a limit; each inlet that is added makes a channel.
        for numbers in (remembered := {name: dict(its) for name, its in before.items()}).values():
            for name, count in REMEMBERED.items():
                numbers[name] = numbers.get(name, 0) + count
        return leaks(remembered, self.holding())

    def holding(self) -> dict[str, dict[str, int]]:
        """
        What both nodes hold.
        """
        return {
            name: {"open files": program.openFiles(), **objects(program)} for name, program in self.programs.items()
        }
