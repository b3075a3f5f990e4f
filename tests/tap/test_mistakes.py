"""
Tests of L{ockam_twisted.tap.mistakes}.
"""

from __future__ import annotations

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.tap.mistakes import HelpfulOptions


class Below(HelpfulOptions):
    """
    A task that may be given a file.
    """

    argument = "file"
    isNeeded = False


class Thing(HelpfulOptions):
    """
    Options of each kind.
    """

    optParameters = [["target", "t", None, "Where to"], ["drain-timeout", None, None, "How long"]]
    optFlags = [["trust", None, "Do not ask"], ["trust-all", None, "Do not ask anybody"]]
    elsewhere = {"relay": "others have it"}

    def meant(self, argument: str) -> str:
        """
        Ports are targets.
        """
        return "target" if argument.isdigit() else ""

    def whereHelpIs(self) -> str:
        """
        It would be elsewhere.
        """
        return "; see the help"


class Whole(Thing):
    """
    The same, with tasks.
    """

    subCommands = [["begin", None, Below, "Begin"]]


class Asking(Thing):
    """
    The same, with a file.
    """

    synopsis = "Usage: thing FILE"
    argument = "file"
    asks = "which file"


class MistakeTests(SynchronousTestCase):
    """
    Each is one line that helps.
    """

    def wrong(self, kind: type[HelpfulOptions], *words: str) -> str:
        """
        @return: What is said of a command line.
        """
        error = str(self.assertRaises(usage.UsageError, kind().parseOptions, list(words)))
        self.assertTrue(error.isprintable(), error)
        return error

    def test_unknownOption(self) -> None:
        """
        What was meant is named, else where the help is; what others have, with
        the reason why it is not here.
        """
        for word, said in (
            ("--traget=x", "there is no option --traget; did you mean --target?"),
            ("--drain_timeout", "there is no option --drain_timeout; did you mean --drain-timeout?"),
            ("--xyz", "there is no option --xyz; see the help"),
            ("--\x1b[1m", "there is no option --\\x1b[1m; see the help"),
            ("--relay", "there is no option --relay: others have it"),
            ("-x", "there is no option -x; see the help"),
        ):
            self.assertEqual(self.wrong(Thing, word), said)

    def test_known(self) -> None:
        """
        An option that is there, but used in another way, is not unknown.
        """
        for word, said in (
            ("--target", "option --target requires argument; see the help"),
            ("-t", "option -t requires argument; see the help"),
            ("--trust=x", "option --trust must not have an argument; see the help"),
            ("--tru", "option --tru not a unique prefix; see the help"),
        ):
            self.assertEqual(self.wrong(Thing, word), said)

    def test_command(self) -> None:
        """
        The same of commands; what a command says is not said again.
        """
        self.assertEqual(self.wrong(Whole, "beginn"), "there is no command 'beginn'; did you mean begin?")
        self.assertEqual(self.wrong(Whole, "xyz"), "there is no command 'xyz'; see the help")
        self.assertEqual(self.wrong(Whole, "begin", "--targe"), "there is no option --targe")

    def test_arguments(self) -> None:
        """
        What stands behind the options is kept; too much or too little of it is
        refused.
        """
        for kind in (Asking, Below):
            options = kind()
            options.parseOptions(["a"])
            self.assertEqual(options["file"], "a")
        Below().parseOptions([])
        self.assertEqual(self.wrong(Asking), "say which file: thing FILE")
        self.assertEqual(self.wrong(Asking, "a", "80"), "'80' belongs to no option; see the help")
        self.assertEqual(self.wrong(Thing, "80"), "'80' belongs to no option; did you mean --target 80?")
        self.assertEqual(self.wrong(Thing, "trust"), "'trust' belongs to no option; did you mean --trust?")
        self.assertEqual(self.wrong(Thing, "x"), "'x' belongs to no option; see the help")
