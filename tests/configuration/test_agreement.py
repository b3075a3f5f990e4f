"""
Tests of L{ockam_twisted.configuration.agreement}; most of what it finds is in
the table of bad files.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.configuration.agreement import Disagreement, disagreements, unreached
from ockam_twisted.configuration.parts import InletSettings, OutletSettings, RelaySettings, StateSettings
from ockam_twisted.configuration.settings import NodeSettings


class AgreementTests(SynchronousTestCase):
    """
    See the module.
    """

    def found(self, **settings: Any) -> list[str]:
        """
        The paths at which something does not go together.
        """
        return [path for path, _ in disagreements(NodeSettings(**settings), str)]

    def test_names(self) -> None:
        """
        One inlet needs no name; of several, one needs none.
        """
        one, two = InletSettings(listen="1"), InletSettings(listen="2")
        named = InletSettings(listen="3", name="a")
        self.assertEqual(self.found(inlets=(one, named)), [])
        self.assertEqual(
            self.found(inlets=(one, two, named, named)), ["inlets[1].name", "inlets[3].name", "inlets[3].listen"]
        )

    def test_places(self) -> None:
        """
        Two may not listen at one place, however it is written; any port is
        another one each time.
        """
        self.assertEqual(self.found(listen=("tcp:4000:interface=127.0.0.1", "4000")), ["listen[1]"])
        self.assertEqual(self.found(listen=("4000", "tcp:4000")), [])
        self.assertEqual(self.found(listen=("0", "0", "tcp:0", "tcp:0", "tcp6:0", "tcp6:0")), [])
        self.assertEqual(self.found(listen=("unix:/a", "unix:/a")), ["listen[1]"])

    def test_reached(self) -> None:
        """
        What is offered can be reached by somebody, if only at a place to
        listen.
        """
        outlet = OutletSettings(target="1")
        self.assertEqual([path for path, _ in unreached(NodeSettings(outlets=(outlet,)), str)], ["outlets"])
        self.assertEqual(list(unreached(NodeSettings(outlets=(outlet,), listen=("1",)), str)), [])
        self.assertEqual([path for path, _ in unreached(NodeSettings(relay=RelaySettings()), str)], ["relay"])
        self.assertEqual([path for path, _ in unreached(NodeSettings(), str)], [""])

    def test_names_of_options(self) -> None:
        """
        What an error calls a setting is what it is called where it was
        written; all that is wrong is in it, the first is its text.
        """
        state = StateSettings(ephemeral=True, folder="/x")
        outlet = OutletSettings(target="1", trustEveryone=True, allow="a")
        settings = NodeSettings(state=state, outlets=(outlet,))
        error = self.assertRaises(Disagreement, settings.config, "c", lambda path: f"<{path}>")
        self.assertEqual([path for path, _ in error.each], ["outlets[0]", "state"])
        self.assertEqual(str(error), error.each[0][1])
        self.assertIn("<state.ephemeral> keeps nothing: it excludes <state.folder>", error.each[1][1])
