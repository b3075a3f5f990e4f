"""
Tests of L{ockam_twisted.configuration.declared}.
"""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, frozen
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.configuration.declared import declared, find, group, groups, keyOf, many, one, paths, secret
from ockam_twisted.configuration.forms import FLAG, TEXT
from ockam_twisted.configuration.settings import NodeSettings


@frozen(kw_only=True)
class Inner:
    """
    A group.
    """

    aFlag: bool = one(FLAG, "A flag", False)
    needed: str = one(TEXT, "Needed")


@frozen(kw_only=True)
class Outer:
    """
    A group with groups in it.
    """

    texts: tuple[str, ...] = many(TEXT, "Texts")
    hidden: str = secret(TEXT, "Hidden")
    listed: tuple[Inner, ...] = groups(Inner, "Listed")
    optional: Inner | None = group(Inner, "Optional", isOptional=True)
    undeclared: Any = None


class DeclaredTests(SynchronousTestCase):
    """
    See the module.
    """

    def test_paths(self) -> None:
        """
        Settings are found in groups, under keys as people write them.
        """
        found = [path for path, _ in paths(Outer)]
        self.assertEqual(
            found,
            ["texts", "hidden", "listed.a-flag", "listed.needed", "optional.a-flag", "optional.needed"],
        )
        self.assertEqual(find(Outer, "listed.a-flag").attribute, "aFlag")
        self.assertEqual(find(Outer, "listed").setting.group, Inner)
        for path in ("x", "texts.x", "listed.x", "undeclared", ""):
            self.assertRaises(KeyError, find, Outer, path)
        self.assertEqual((keyOf("drainTimeout"), keyOf("hop")), ("drain-timeout", "hop"))

    def test_defaults(self) -> None:
        """
        What has no default must be given; lists are empty, flags false.
        """
        defaults = {each.key: each.default for kind in (Outer, Inner) for each in declared(kind)}
        self.assertEqual(defaults["texts"], ())
        self.assertEqual(defaults["a-flag"], False)
        self.assertIs(defaults["needed"], NOTHING)
        self.assertIsNone(defaults["optional"])

    def test_secret(self) -> None:
        """
        A secret is not shown with the settings that it is among.
        """
        self.assertNotIn("hunter2", repr(Outer(hidden="hunter2")))

    def test_texts(self) -> None:
        """
        Every setting of a node says what it is for, in a line without a full
        stop, which the help puts in.
        """
        for path, each in paths(NodeSettings):
            text = each.setting.help
            self.assertTrue(text and text[0].isupper() and text.isprintable() and not text.endswith("."), path)
