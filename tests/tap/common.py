"""
Options of the plugins, parsed as C{twist} does.
"""

from __future__ import annotations

import os
import re
import sys
from io import StringIO
from typing import Any

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import NodeConfig
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr

WHO = "I" + "0" * 64
OTHER = "I" + "1" * 64
WAY = MultiAddr.fromText("/dnsaddr/relay.example.com/tcp/4000/service/forward_to_blue/secure/api/service/outlet")
TICKET = str(Ticket((WAY,), Identifier(WHO), 2**40, bytes(32)))


class OptionsTestCase(SynchronousTestCase):
    """
    Tests of one plugin's options.

    @cvar module: The module of the plugin.
    @cvar needed: Options without which it does not start.
    """

    module: Any
    needed: tuple[str, ...] = ()

    def parse(self, *arguments: str) -> NodeConfig:
        """
        What the options mean.
        """
        options = self.module.Options()
        options.parseOptions(arguments)
        config: NodeConfig = options.nodeConfig
        return config

    def more(self, *arguments: str) -> NodeConfig:
        """
        The same, beside those that are needed.
        """
        return self.parse(*self.needed, *arguments)

    def refused(self, says: str, *arguments: str) -> None:
        """
        The options are refused in one plain line.
        """
        error = str(self.assertRaises(usage.UsageError, self.parse, *arguments))
        self.assertIn(says, error)
        self.assertTrue(error.isprintable(), error)

    def shown(self, *arguments: str) -> str:
        """
        What an option prints before it ends the process.
        """
        out = StringIO()
        self.patch(sys, "stdout", out)
        ended = self.assertRaises(SystemExit, self.module.Options().parseOptions, arguments)
        self.assertIn(ended.code, (0, None))
        return out.getvalue()

    def checkHelp(self) -> None:
        """
        The help has a text for every option, says what is repeatable, and
        ends with examples that can be copied; each of them can be parsed.
        """
        self.patch(os, "environ", {**os.environ, "COLUMNS": "80"})
        text = self.shown("--help")
        options, _, examples = text.partition("\nExamples:\n")
        for line in options.splitlines():
            if re.match("  (-[a-z], |    )--", line):
                words = line.removeprefix("  -").partition("--")[2].split()
                self.assertGreater(len(words), 1, f"no text for {line}")
        self.assertNotIn("[default: ]", options)
        self.assertNotIn("[default: None]", options)
        command = self.module.Options.command
        commands = [
            each
            for each in examples.replace("\\\n", " ").splitlines()
            if f" {command} " in each and "ockam-twisted" not in each
        ]
        self.assertTrue(commands)
        self.assertEqual([each for each in examples.splitlines() if len(each) > 120], [])
        for each in commands:
            _, _, arguments = each.partition(f" {command} ")
            arguments = arguments.replace("I3f...", WHO).replace("I77...", OTHER).replace("ockamticket1...", TICKET)
            self.parse(*arguments.replace("@ticket.txt", TICKET).split())

    def checkVersion(self) -> None:
        """
        C{--version} is that of the plugin, not of Twisted.
        """
        from ockam_twisted import __version__

        self.assertEqual(self.shown("--version"), f"{self.module.Options.command} {__version__}\n")

    def checkState(self) -> None:
        """
        The options about state reach the configuration.
        """
        state = self.more("--state-dir", "/s", "--instance", "blue").state
        self.assertEqual((state.folder, state.instance, state.ephemeral), ("/s", "blue", False))
        state = self.more().state
        self.assertEqual((state.folder, state.instance, state.ephemeral), ("", "default", False))
        self.assertTrue(self.more("--ephemeral").state.ephemeral)
        self.refused("excludes --state-dir", *self.needed, "--ephemeral", "--state-dir", "/s")
        self.refused("--instance", *self.needed, "--instance", "a/b")

    def checkFrame(self) -> None:
        """
        The limit of frames reaches the configuration, within bounds.
        """
        self.assertEqual(self.more().maxFrame, 1024 * 1024)
        self.assertEqual(self.more("--max-frame", "196608").maxFrame, 196608)
        for text in ("many", "nan", "196607", "16777217", "-1", ""):
            self.refused("--max-frame is a whole number from 196608 to 16777216", *self.needed, "--max-frame", text)
