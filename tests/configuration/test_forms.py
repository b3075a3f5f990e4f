"""
Tests of L{ockam_twisted.configuration.forms}; what they refuse is in the
table of bad files.
"""

from __future__ import annotations

import math
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.configuration import forms
from ockam_twisted.configuration.declared import paths
from ockam_twisted.configuration.forms import (
    DURATION,
    FLAG,
    HOST_PORT,
    IDENTIFIER,
    LISTEN,
    Choice,
    Form,
    Number,
    nearest,
    shown,
)
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.errors import ConfigurationError
from tests.configuration.bad import WHO


class FormsTests(SynchronousTestCase):
    """
    See the module.
    """

    def refused(self, form: Form, value: Any) -> str:
        """
        What is said of a value.
        """
        return str(self.assertRaises(ConfigurationError, form.read, value, "<here>"))

    def test_examples(self) -> None:
        """
        The example of each form that is in use is right.
        """
        examples = {each.setting.form for _, each in paths(NodeSettings) if each.setting.form}
        self.assertGreater(len(examples), 12)
        for form in examples:
            if isinstance(form, forms.Flag):
                continue
            if form.example:
                form.read(form.example, "x")

    def test_read(self) -> None:
        """
        What is read has the shape that a node is made from.
        """
        for form, value, read in (
            (FLAG, True, True),
            (DURATION, "10m", 600),
            (DURATION, 60, 60),
            (HOST_PORT, "[::1]:4000", ("::1", 4000)),
            (LISTEN, 4000, "4000"),
            (IDENTIFIER, WHO, WHO),
            (Number("x", "1", 0, 10, True), "7", 7),
            (Number("x", "1", 0, 10), 0.5, 0.5),
            (Choice("", "", ("text", "json")), "json", "json"),
        ):
            self.assertEqual(form.read(value, "x"), read)

    def test_refused(self) -> None:
        """
        An error says what it is called, what is allowed, and what was found.
        """
        self.assertEqual(self.refused(FLAG, "ja"), "<here> is true or false, not 'ja'")
        number = Number("x", "1", 1, 10, True)
        for value in ("0", "11", "1.5", "nan", "inf", "", "x", 10**400, math.nan):
            self.assertIn("<here> is a whole number from 1 to 10, not ", self.refused(number, value))
        choice = Choice("", "", ("text", "json"))
        self.assertEqual(self.refused(choice, "jsn"), "<here> is one of text, json, not 'jsn'; did you mean json?")
        for value, kind in ((None, "nothing"), (True, "a flag"), ([], "a list or a group"), ({}, "a list or a group")):
            self.assertEqual(self.refused(LISTEN, value), f"<here> is {LISTEN.allowed}, not {kind}")

    def test_shown(self) -> None:
        """
        What was found is cut, and cannot speak to a terminal.
        """
        self.assertEqual(shown("\x1b[2J"), r"'\x1b[2J'")
        self.assertLess(len(shown("x" * 10_000)), 50)
        self.assertEqual(shown(False), "'false'")

    def test_nearest(self) -> None:
        """
        The nearest of the known words, if it is near.
        """
        self.assertEqual(nearest("Outlet", ["inlets", "outlets"]), "; did you mean outlets?")
        self.assertEqual(nearest("traget", ["to", "target"], "--"), "; did you mean --target?")
        self.assertEqual(nearest("drain_timeout", ["drain-timeout"]), "; did you mean drain-timeout?")
        self.assertEqual(nearest("frobnicate", ["inlets", "outlets"]), "")
        self.assertEqual(nearest("x" * 1_000_000, ["inlets"]), "")
