"""
Tests of L{ockam_twisted.configuration.secrets}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.configuration.secrets import MAX_SECRET, SECRET, given, resolve
from ockam_twisted.errors import ConfigurationError


class SecretTests(SynchronousTestCase):
    """
    References to secrets.
    """

    def test_read(self) -> None:
        """
        A reference says where the secret is; C{@FILE} is C{file:FILE}.
        """
        for text in ("file:/run/t", "credential:t", "env:TICKET"):
            self.assertEqual(SECRET.read(text, "x"), text)
        self.assertEqual(SECRET.read("@t", "x"), "file:t")

    def test_itself(self) -> None:
        """
        The secret itself is refused, and not shown; so is what only a command
        line can say.
        """
        for text in ("hunter2", "ockamticket1abc", given("hunter2"), "file:", "env", ""):
            error = str(self.assertRaises(ConfigurationError, SECRET.read, text, "state.passphrase"))
            self.assertIn("state.passphrase is where a secret is: file:FILE", error)
            self.assertNotIn("hunter2", error)

    def test_resolve(self) -> None:
        """
        Secrets come from files, credentials, the environment or a command
        line, without blanks around them.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "t").write_text(" secret\n")
        environ = {"CREDENTIALS_DIRECTORY": str(folder), "TICKET": "other"}
        self.assertEqual(resolve(f"file:{folder / 't'}", "x", environ), "secret")
        self.assertEqual(resolve("credential:t", "x", environ), "secret")
        self.assertEqual(resolve("env:TICKET", "x", environ), "other")
        self.assertEqual(resolve(given("itself"), "x", environ), "itself")
        self.assertEqual((resolve("", "x", environ), given("")), ("", ""))
        # A credential is in that folder, whatever its name says.
        (folder / "sub").mkdir()
        self.assertRaises(ConfigurationError, resolve, "credential:../../etc/passwd", "x", environ)

    def test_unreadable(self) -> None:
        """
        What cannot be had is said to be so, in one line.
        """
        empty = Path(self.mktemp())
        empty.write_text("\n")
        for reference, says in (
            ("env:NONE", "there is no environment variable 'NONE'"),
            ("credential:t", "there are no credentials here"),
            ("file:/nowhere/t", "cannot read '/nowhere/t'"),
            ("file:a\0b", "cannot read"),
            (f"file:{empty}", "there is nothing in"),
        ):
            error = str(self.assertRaises(ConfigurationError, resolve, reference, "inlets[0].ticket", {}))
            self.assertTrue(error.startswith("inlets[0].ticket: "), error)
            self.assertIn(says, error)
            self.assertTrue(error.isprintable(), error)

    def test_bounded(self) -> None:
        """
        No more is read than a secret may have.
        """
        self.assertEqual(len(resolve("file:/dev/zero", "x", {}).encode()), MAX_SECRET)
