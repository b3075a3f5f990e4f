"""
Tests of L{ockam_twisted.tap.node}.
"""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.tap.node import Options, makeService
from tests.test_architecture import runPython

FILE = "state: {ephemeral: true}\nlisten: 0\noutlets:\n  - target: 127.0.0.1:1\n"


class OptionsTests(SynchronousTestCase):
    """
    C{twist ockam-node}.
    """

    def setUp(self) -> None:
        """
        A file.
        """
        self.path = Path(self.mktemp())
        self.path.write_text(FILE)

    def parse(self, *arguments: str) -> Options:
        """
        What the options mean.
        """
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def test_file(self) -> None:
        """
        A node is made from what the file says, and from what it says later
        when it is read again.
        """
        for name in ("--config", "-c"):
            options = self.parse(name, str(self.path))
            config = options.nodeConfig
            self.assertEqual((config.command, config.listeners), ("ockam-node", ("tcp:0:interface=127.0.0.1",)))
        self.assertEqual([each.label for each in config.outlets], ["127.0.0.1:1"])
        self.assertEqual(options.reread(), config)
        self.path.write_text(FILE + "  - target: 127.0.0.1:2\n    address: other\n")
        self.assertEqual(len(options.reread().outlets), 2)

    def test_missing(self) -> None:
        """
        Without a file, it says which option it is, and how to write one.
        """
        error = str(self.assertRaises(usage.UsageError, self.parse))
        self.assertIn("--config", error)
        self.assertIn("config example", error)

    def test_wrong(self) -> None:
        """
        All that is wrong with a file is said, a line each, without the help.
        """
        self.path.write_text("hop: 2\nlisten: x\n")
        ended = self.assertRaises(SystemExit, self.parse, "--config", str(self.path))
        lines = str(ended.code).splitlines()
        self.assertEqual(len(lines), 2)
        for number, line in enumerate(lines, 1):
            self.assertTrue(line.startswith(f"ockam-node: {self.path}:{number}: "), line)

    def test_state(self) -> None:
        """
        What is found out when it starts has the keys of a file in it.
        """
        folder = self.path.with_suffix(".state")
        self.path.write_text(f"state: {{folder: {folder}}}\ninlets:\n  - listen: 0\n")
        ended = self.assertRaises(SystemExit, makeService, self.parse("--config", str(self.path)))
        self.assertIn("was never paired: give inlets.ticket", str(ended.code))
        self.assertNotIn("--", str(ended.code))

    def test_processes(self) -> None:
        """
        A relay in a file cannot have more processes than one from options.
        """
        self.path.write_text("listen: 0\nrelay: {processes: 2}\n")
        options = Options()
        options.parent = {"chroot": "/srv/relay"}
        ended = self.assertRaises(SystemExit, options.parseOptions, ["--config", str(self.path)])
        self.assertEqual(
            ended.code, "ockam-node: relay.processes: there is no Python in --chroot; leave out one of them"
        )

    def test_help(self) -> None:
        """
        The help ends with examples, the version is that of the plugin.
        """
        from ockam_twisted import __version__

        for option, says in (("--help", "config example > node.yaml"), ("--version", f"ockam-node {__version__}\n")):
            out = StringIO()
            self.patch(sys, "stdout", out)
            self.assertRaises(SystemExit, self.parse, option)
            self.assertIn(says, out.getvalue())


class CheapTests(SynchronousTestCase):
    """
    What processes have to carry.
    """

    def test_noYAML(self) -> None:
        """
        Commands that read no file import neither YAML nor what structures
        it; one that reads a file has them, so the test would see them.
        """
        program = """
import importlib
module, *arguments = sys.argv[1:]
options = importlib.import_module(module).Options()
options.parseOptions(arguments)
print(" ".join(name for name in sys.modules if name.partition(".")[0] in ("ruamel", "cattrs", "yaml", "jsonschema")))
"""
        way = f"I{'0' * 64}@/ip4/192.0.2.1/tcp/4000/secure/api/service/outlet"
        path = Path(self.mktemp())
        path.write_text(FILE)
        for plugin, arguments in (
            ("relay", ()),
            ("outlet", ("--target", "1", "--relay", "127.0.0.1:1")),
            ("inlet", ("--listen", "1", "--to", way)),
            ("authority", ()),
            ("node", ("--config", os.path.abspath(path))),
        ):
            result = runPython(program, f"ockam_twisted.tap.{plugin}", *arguments)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual("cattrs" in result.stdout and "ruamel" in result.stdout, plugin == "node", plugin)
            self.assertTrue(plugin == "node" or not result.stdout.strip(), result.stdout)
