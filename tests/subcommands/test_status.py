"""
Tests for L{ockam_twisted.subcommands.status}: the processes that answer are in
L{tests.scenarios.test_ways}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted import tasks
from ockam_twisted.command import main
from ockam_twisted.control import NotRunning
from ockam_twisted.ops.status import NodeStatus, PortalStatus, ProcessStatus, SessionStatus
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.subcommands.status import lines, span

WHO = "I" + "0" * 64
INLET = NodeStatus(
    "ockam-inlet",
    WHO,
    (),
    (
        SessionStatus("way to outlet I1", "up", 7385, "", None, "/ip4/192.0.2.1/tcp/4000 (I1)", "I1", True, 3),
        SessionStatus("way to outlet I2", "waiting", 12.4, "Connection refused", 3.2),
        SessionStatus("way to outlet I3", "trying", 0.4, "down after 5 s: reset by peer"),
    ),
    3,
    (PortalStatus("inlet", "127.0.0.1:5432", 3),),
    8000.0,
)
RELAY = NodeStatus("ockam-relay", WHO, ("tcp:4000",), (), 0, (), 5.0, 12, 1)


class LineTests(SynchronousTestCase):
    """
    What people read.
    """

    def test_inlet(self) -> None:
        """
        Which way is in use, and what became of the others.
        """
        self.assertEqual(
            list(lines(INLET.asJSON())),
            [
                "ockam-inlet: running for 2 h 13 min",
                f"  Identifier: {WHO}",
                "  Listens for clients on 127.0.0.1:5432: 3 open streams",
                "  way to outlet I1: up for 2 h 3 min, in use, 3 open streams",
                "    /ip4/192.0.2.1/tcp/4000 (I1)",
                "  way to outlet I2: down for 12 s, next try in 3.2 s",
                "    Connection refused",
                "  way to outlet I3: down for 0.4 s, trying now",
                "    down after 5 s: reset by peer",
            ],
        )

    def test_relay(self) -> None:
        """
        Other kinds of nodes have other things.
        """
        self.assertEqual(
            list(lines({"instance": "blue", **RELAY.asJSON()})),
            [
                "ockam-relay blue: running for 5.0 s",
                f"  Identifier: {WHO}",
                "  Listens for nodes on tcp:4000",
                "  12 relay names",
                "  1 member",
            ],
        )

    def test_processes(self) -> None:
        """
        Of a relay that is several processes each one is shown.
        """
        processes = (ProcessStatus(0, 77, "running", 1), ProcessStatus(1, 0, "ended", 0))
        shown = list(lines(evolve(RELAY, processes=processes).asJSON()))
        self.assertIn("  Process 0 (77): running, 1 connection", shown)
        self.assertIn("  Process 1: ended, 0 connections", shown)

    def test_hostile(self) -> None:
        """
        What comes from elsewhere does nothing to the terminal.
        """
        session = SessionStatus("x", "waiting", 1, "\x1b[2J\nAll is well")
        self.assertTrue(all(line.isprintable() for line in lines(NodeStatus("n", WHO, (), (session,), 0).asJSON())))

    def test_span(self) -> None:
        """
        Times as people say them.
        """
        shown = [span(each) for each in (0, 9.94, 10, 119, 120, 7199, 7200, 86400 * 2 - 1, 86400 * 3 + 7200)]
        self.assertEqual(
            shown, ["0.0 s", "9.9 s", "10 s", "119 s", "2 min", "119 min", "2 h 0 min", "47 h 59 min", "3 d 2 h"]
        )


class StatusTests(SynchronousTestCase):
    """
    C{ockam-twisted status}.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        environ = {name: value for name, value in os.environ.items() if name != "STATE_DIRECTORY"}
        self.patch(os, "environ", {**environ, "XDG_STATE_HOME": str(self.folder)})
        self.running: dict[Path, NodeStatus] = {}
        self.patch(tasks, "askNode", self.ask)

    def ask(self, folder: Path, task: str, arguments: dict[str, Any]) -> Any:
        """
        Ask one of those that run.
        """
        self.assertEqual((task, arguments), ("status", {}))
        if folder not in self.running:
            raise NotRunning("no")
        return self.running[folder].asJSON()

    def place(self, command: str, instance: str, status: NodeStatus | None = None) -> None:
        """
        There is state, and maybe a node that runs.
        """
        path = self.folder / "ockam-twisted" / command / instance
        place = StateFolder(path)
        place.open()
        place.close()
        if status is not None:
            self.running[path] = status

    def run_(self, *arguments: str) -> tuple[int, str, str]:
        """
        Run it.

        @return: The exit status, and what was said.
        """
        out, err = StringIO(), StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return main(["status", *arguments]), out.getvalue(), err.getvalue()

    def test_all(self) -> None:
        """
        Without options every node is shown that runs, and those are named
        that do not.
        """
        self.place("ockam-inlet", "default", INLET)
        self.place("ockam-inlet", "blue", INLET)
        self.place("ockam-outlet", "default")
        status, out, err = self.run_()
        self.assertEqual(status, 0)
        heads = [line for line in out.splitlines() if "running" in line]
        self.assertEqual(heads, ["ockam-inlet blue: running for 2 h 13 min", "ockam-inlet: running for 2 h 13 min"])
        self.assertEqual(err, "ockam-outlet (instance default) does not run\n")
        status, out, err = self.run_("--instance", "blue", "--json")
        [shown] = json.loads(out)
        self.assertEqual((status, shown["instance"], err), (0, "blue", ""))

    def test_one(self) -> None:
        """
        One of them, as JSON; what is in use can be told by a program.
        """
        self.place("ockam-inlet", "default", INLET)
        status, out, _ = self.run_("--command", "ockam-inlet", "--json")
        shown = json.loads(out)
        self.assertEqual((status, shown["identifier"], shown["streams"]), (0, WHO, 3))
        self.assertEqual([each["peer"] for each in shown["sessions"] if each["inUse"]], ["I1"])
        folder = str(self.folder / "ockam-twisted" / "ockam-inlet" / "default")
        status, out, _ = self.run_("--state-dir", folder)
        self.assertEqual((status, out.splitlines()[0]), (0, "ockam-inlet: running for 2 h 13 min"))

    def test_notRunning(self) -> None:
        """
        That a node does not run, or never has, is one plain line and status 1.
        """
        self.place("ockam-relay", "default")
        for arguments, says in (
            (("--command", "ockam-relay"), "ockam-relay (instance default) does not run\n"),
            (("--command", "ockam-inlet"), "does not run: there is no state in "),
            (("--state-dir", str(self.folder / "none"), "--json"), "does not run: there is no state in "),
            ((), "ockam-relay (instance default) does not run\n"),
            (("--instance", "red"), "no node has run here yet"),
        ):
            status, out, err = self.run_(*arguments)
            self.assertEqual((status, out, err.count("\n")), (1, "", 1), arguments)
            self.assertIn(says, err)

    def test_watch(self) -> None:
        """
        Again and again, until nobody wants to see it any more: also that a
        node runs no more.
        """
        self.place("ockam-inlet", "default", INLET)

        def sleep(seconds: float) -> None:
            if not self.running:
                raise KeyboardInterrupt
            self.running.clear()

        self.patch(time, "sleep", sleep)
        status, out, err = self.run_("--watch", "--command", "ockam-inlet")
        self.assertEqual((status, err), (0, ""))
        first, second, rest = out.split("\n\n")
        self.assertEqual(first.splitlines()[0], "ockam-inlet: running for 2 h 13 min")
        self.assertEqual((second, rest), ("ockam-inlet (instance default) does not run", ""))
        self.place("ockam-inlet", "default", INLET)
        status, out, _ = self.run_("--watch", "--json")
        self.assertEqual([[each["name"] for each in json.loads(line)] for line in out.splitlines()], [[INLET.name], []])

    def test_environment(self) -> None:
        """
        Where the environment names one folder there is one node.
        """
        self.place("ockam-inlet", "default", INLET)
        folder = self.folder / "ockam-twisted" / "ockam-inlet" / "default"
        self.patch(os, "environ", {**os.environ, "STATE_DIRECTORY": str(folder)})
        status, out, _ = self.run_()
        self.assertEqual((status, out.count("running for")), (0, 1))

    def test_options(self) -> None:
        """
        Commands are known by name.
        """
        status, _, err = self.run_("--command", "ls")
        self.assertEqual(status, 64)
        self.assertIn("--command is one of", err)
