"""
Tests of L{ockam_twisted.command}: what the tasks themselves do is tested in
L{tests.test_demo}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted import __version__, demo, offline
from ockam_twisted.command import Options, main
from ockam_twisted.errors import StateUnusable
from ockam_twisted.storage.folder import StateFolder
from tests.memory_reactor import MemoryReactor
from tests.scenarios.processes import ROOT


class CommandTests(SynchronousTestCase):
    """
    Bad input is one line and status 64.
    """

    def refuse(self, *arguments: str) -> str:
        """
        Run it.

        @return: What it says.
        """
        said = StringIO()
        self.patch(sys, "stderr", said)
        self.assertEqual(main(arguments), 64)
        self.assertEqual(said.getvalue().count("\n"), 1)
        return said.getvalue()

    def test_nothing(self) -> None:
        """
        Without a task it says where the tasks are listed.
        """
        self.assertIn("--help", self.refuse())
        self.assertIn("identity show", self.refuse("identity"))

    def test_unknown(self) -> None:
        """
        Unknown commands and options are named.
        """
        self.assertIn("dance", self.refuse("dance"))
        self.assertIn("--colour", self.refuse("demo", "--colour"))
        self.assertIn("--command is one of", self.refuse("identity", "show", "--command", "ls"))
        self.assertIn("dance", self.refuse("identity", "dance"))
        self.assertIn("'now' belongs to no option; see `ockam-twisted demo --help`", self.refuse("demo", "now"))
        for name, value, says in (
            ("uses", "many", "--uses is a number, not 'many'"),
            ("expires", "1year", "--expires: '1year' is no time"),
            ("attribute", "foo", "--attribute is NAME=VALUE, not 'foo'"),
        ):
            self.assertIn(says, self.refuse("ticket", "create", f"--{name}", value))
        for name in ("steam", "gtk3"):
            self.assertIn(f"there is no '{name}'; asyncio is one", self.refuse(f"--reactor={name}", "ping"))

    def test_nearest(self) -> None:
        """
        What is nearly a command is taken for a slip of it, at both levels.
        """
        self.assertIn("there is no command 'stauts'; did you mean status?", self.refuse("stauts"))
        self.assertIn("there is no command 'lst'; did you mean list?", self.refuse("ticket", "lst"))
        self.assertIn("'dance'; see `ockam-twisted ticket --help`", self.refuse("ticket", "dance"))

    def test_missing(self) -> None:
        """
        What is missing is asked for, with how all of it is typed.
        """
        for words, asked in (
            ("ticket revoke", "say which ticket, by its id in `ockam-twisted ticket list`: {} ID [options]"),
            ("member add", "say whom: {} IDENTIFIER [options]"),
            ("member remove", "say whom, as `ockam-twisted member list` shows it: {} IDENTIFIER [options]"),
            ("identity import", "say which file: {} FILE [options]"),
            ("identity backup", "say into which file: {} FILE [options]"),
            ("identity restore", "say from which file: {} FILE [options]"),
            ("completion", "say for which shell: {} bash|zsh|fish"),
            ("config check", "say which file: {} FILE"),
        ):
            said = self.refuse(*words.split())
            self.assertEqual(said, f"ockam-twisted: {asked.format(f'ockam-twisted {words}')}\n")

    def test_surplus(self) -> None:
        """
        What is too much is shown, with the option that was meant.
        """
        for words, meant in (
            ("status ockam-outlet", "did you mean --command ockam-outlet?"),
            ("ticket list ockam-outlet", "did you mean --command ockam-outlet?"),
            ("status json", "did you mean --json?"),
            ("check /dnsaddr/relay/tcp/4000", "did you mean --to /dnsaddr/relay/tcp/4000?"),
            ("ticket revoke 3f9a ockam-outlet", "see `ockam-twisted ticket revoke --help`"),
            ("status web", "see `ockam-twisted status --help`"),
        ):
            self.assertIn(f"'{words.split()[-1]}' belongs to no option; {meant}\n", self.refuse(*words.split()))


class RunTests(SynchronousTestCase):
    """
    Tasks, their output and their status.
    """

    def run_(self, *arguments: str) -> tuple[int, str, str]:
        """
        Run it.

        @return: Status, output and errors.
        """
        out, err = StringIO(), StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, out.getvalue(), err.getvalue()

    def test_identity(self) -> None:
        """
        The identifier is one line to copy; which folder it is of is a choice.
        """
        asked: list[tuple[object, ...]] = []

        def show(reactor: object, place: StateFolder, keys: object) -> str:
            asked.append(place.path.parts[-2:])
            return "I123"

        self.patch(offline, "showIdentity", show)
        self.patch(offline, "hasIdentity", lambda place: True)
        self.assertEqual(self.run_("identity", "show"), (0, "Identifier: I123\n", ""))
        self.run_("identity", "show", "--command", "ockam-outlet", "--instance", "web")
        self.run_("identity", "show", "--state-dir", "/s")
        self.assertEqual(asked, [("ockam-inlet", "default"), ("ockam-outlet", "web"), ("/", "s")])

    def test_newIdentity(self) -> None:
        """
        One that is made for a command that was not named is not made in
        silence, and what is printed to be copied stays one line.
        """

        def show(reactor: object, place: StateFolder, keys: object) -> str:
            return str(offlineShow(MemoryReactor(), place))

        offlineShow = offline.showIdentity
        self.patch(offline, "showIdentity", show)
        self.patch(os, "environ", {"XDG_STATE_HOME": str(Path(self.mktemp()).absolute())})
        made = "made a new identity for ockam-inlet (the default of --command)\n"
        for more, said in (((), made), ((), ""), (("--command", "ockam-outlet"), ""), (("--state-dir", "s"), "")):
            status, out, err = self.run_("identity", "show", *more)
            self.assertEqual((status, err), (0, said))
            self.assertRegex(out, "\\AIdentifier: I[0-9a-f]{64}\n\\Z")

    def test_defaultCommand(self) -> None:
        """
        Whose state is meant unless something is said is in the help of each
        task that asks.
        """
        for words, default in (
            ("identity show", "ockam-inlet"),
            ("identity backup", "ockam-inlet"),
            ("ticket create", "ockam-outlet"),
            ("member list", "ockam-outlet"),
            ("unpair", "ockam-inlet"),
            ("reload", "ockam-node"),
        ):
            _, out, _ = self.run_(*words.split(), "--help")
            self.assertIn(f"[default: {default}]", " ".join(out.split()))

    def test_demo(self) -> None:
        """
        The demo runs on unless it is only to be checked; its status is that
        of the command.
        """
        asked: list[bool] = []

        def run(check: bool) -> int:
            asked.append(check)
            return 3

        self.patch(demo, "runDemo", run)
        self.assertEqual(self.run_("demo"), (3, "", ""))
        self.run_("demo", "--check")
        self.assertEqual(asked, [False, True])

    def test_failures(self) -> None:
        """
        What failed is one line and status 1; Ctrl-C is no failure to explain.
        """
        for error, status, said in (
            (StateUnusable("the folder is gone"), 1, "ockam-twisted: the folder is gone\n"),
            (KeyboardInterrupt(), 130, ""),
        ):

            def run(check: bool, error: BaseException = error) -> int:
                raise error

            self.patch(demo, "runDemo", run)
            self.assertEqual(self.run_("demo"), (status, "", said))

    def test_interrupted(self) -> None:
        """
        The same before the options are read.
        """

        def read(self: object, argv: object) -> None:
            raise KeyboardInterrupt

        self.patch(Options, "parseOptions", read)
        self.assertEqual(self.run_("check"), (130, "", ""))

    def test_version(self) -> None:
        """
        The version is ours, wherever it is asked for.
        """
        for arguments in ((), ("demo",), ("identity",), ("identity", "show")):
            self.assertEqual(self.run_(*arguments, "--version"), (0, f"ockam-twisted {__version__}\n", ""))

    def test_help(self) -> None:
        """
        Every help begins with how to type it, has a text for every option,
        and ends with examples, each of which can be parsed.
        """
        for arguments in ((), ("demo",), ("identity",), ("identity", "show")):
            status, out, err = self.run_(*arguments, "--help")
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith(" ".join(("Usage: ockam-twisted", *arguments))), out)
            self.assertEqual(out.count("Usage:"), 1)
            text, _, examples = out.partition("\nExamples:\n")
            for line in text.splitlines():
                if line.startswith("      --"):
                    self.assertGreater(len(line.split()), 1, f"no text for {line}")
            self.assertNotIn("[default: ]", text)
            # Only what has some begins a list of them.
            self.assertEqual("Commands:" in text, arguments in ((), ("identity",)))
            commands = [line.split()[1:] for line in examples.splitlines() if line.strip().startswith("ockam-twisted ")]
            self.assertTrue(commands, examples)
            for command in commands:
                Options().parseOptions(command)

    def test_nobodyReads(self) -> None:
        """
        Whoever reads the output may go away early.
        """
        program = [sys.executable, "-m", "ockam_twisted.command", "identity", "show", "--state-dir", self.mktemp()]
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                program, stdout=writing, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30
            )
        finally:
            os.close(writing)
        self.assertEqual((done.returncode, done.stderr), (1, b""))


class ClosedPipeTests(SynchronousTestCase):
    """
    Whoever reads the output goes away.
    """

    def test_quiet(self) -> None:
        """
        That is not worth a word, whatever is printed.
        """
        for arguments in (("--help",), ("status", "--help"), ("--version",), ("status", "--watch")):
            reading, writing = os.pipe()
            os.close(reading)
            done = subprocess.run(
                [sys.executable, "-m", "ockam_twisted.command", *arguments],
                stdout=writing,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": self.mktemp()},
                timeout=60,
            )
            os.close(writing)
            self.assertEqual(done.stderr, b"", arguments)
