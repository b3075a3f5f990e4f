"""
Tests of L{ockam_twisted.manuals.outline}.
"""

from __future__ import annotations

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import Options
from ockam_twisted.manuals.outline import FILE, FOLDER, OTHER, WORDS, everyCommand, outline, plugins


class Below(usage.Options):
    """
    A task.
    """

    synopsis = "Usage: thing do FILE [options]"
    longdesc = "Does   it."


class Thing(usage.Options):
    """
    Options of each kind.
    """

    synopsis = "Usage: thing <task> [options]"
    optParameters = [
        ["target", "t", None, "The service: PORT (on this machine), HOST:PORT or an endpoint string"],
        ["pause", None, 5, "Seconds to wait."],
        ["key", None, None, "FILE with it, or credential:NAME"],
        ["place", None, None, "Folder for all [default: $HOME, else nothing]"],
        ["command", None, None, "Which kind of node: one, two or three-four"],
        ["plain", None, None, "As JSON"],
        ["data", None, None, "Something"],
    ]
    optFlags = [["quick", "q", "Do not wait"]]
    subCommands = [["do", None, Below, "Do it."]]
    compData = usage.Completions(optActions={"data": usage.CompleteDirs()})

    def opt_to(self, way: str) -> None:
        """
        The way: MULTIADDR or IDENTIFIER@MULTIADDR; repeatable
        """


class OutlineTests(SynchronousTestCase):
    """
    What is read from options.
    """

    def setUp(self) -> None:
        self.thing = outline("thing", "does things.", Thing)
        self.options = {each.name: each for each in self.thing.options}

    def test_arguments(self) -> None:
        """
        Arguments are called by what is said of them; flags have none.
        """
        names = {name: each.argument for name, each in self.options.items()}
        self.assertEqual(
            names,
            {
                "command": "COMMAND",
                "data": "DATA",
                "help": "",
                "key": "FILE",
                "pause": "SECONDS",
                "place": "FOLDER",
                "plain": "PLAIN",
                "quick": "",
                "target": "PLACE",
                "to": "IDENTIFIER@MULTIADDR",
                "version": "",
            },
        )
        self.assertEqual((self.options["target"].short, self.options["quick"].short), ("t", "q"))

    def test_kinds(self) -> None:
        """
        What shells complete is told by the options' completions, else by
        their help.
        """
        kinds = {name: each.kind for name, each in self.options.items() if each.kind != OTHER}
        self.assertEqual(kinds, {"command": WORDS, "data": FOLDER, "key": FILE, "place": FOLDER})
        self.assertEqual(self.options["command"].words, ("one", "two", "three-four"))

    def test_texts(self) -> None:
        """
        Default and repetition are not part of the text.
        """
        place, to, pause = self.options["place"], self.options["to"], self.options["pause"]
        self.assertEqual((place.text, place.default), ("Folder for all", "$HOME, else nothing"))
        self.assertEqual((to.text, to.repeatable), ("The way: MULTIADDR or IDENTIFIER@MULTIADDR", True))
        self.assertEqual((pause.text, pause.default, pause.repeatable), ("Seconds to wait", "5", False))

    def test_tasks(self) -> None:
        """
        Tasks have the whole name; what comes last is known, and whether files
        are taken.
        """
        (task,) = self.thing.tasks
        self.assertEqual((task.name, task.word, task.page, task.summary), ("thing do", "do", "thing-do", "Do it"))
        self.assertEqual((task.synopsis, task.text, task.takesFile), ("FILE [options]", "Does it.", True))
        self.assertEqual(self.thing.synopsis, "<task> [options]")
        self.assertEqual([each.name for each in self.thing.everyTask()], ["thing", "thing do"])
        self.assertEqual([each.name for each in self.thing.options][-2:], ["help", "version"])


class CommandsTests(SynchronousTestCase):
    """
    What there really is.
    """

    def test_plugins(self) -> None:
        """
        All plugins are there, each with all that it can be given.
        """
        found = {each.name: each for each in plugins()}
        self.assertLessEqual({"ockam-relay", "ockam-outlet", "ockam-inlet", "ockam-authority"}, set(found))
        outlet = {each.name: each for each in found["ockam-outlet"].options}
        self.assertTrue(outlet["relay"].repeatable)
        self.assertEqual((outlet["target"].argument, outlet["state-dir"].kind), ("PLACE", FOLDER))

    def test_explained(self) -> None:
        """
        Every command and every option says what it is for.
        """
        commands = [task for each in everyCommand(Options) for task in each.everyTask()]
        self.assertIn("ockam-twisted ticket create", [each.name for each in commands])
        problems = [each.name for each in commands if not (each.summary and each.text and each.examples)]
        problems += [f"{each.name} --{option.name}" for each in commands for option in each.options if not option.text]
        self.assertEqual(problems, [])
