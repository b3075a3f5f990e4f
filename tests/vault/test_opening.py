"""
Tests for L{ockam_twisted.vault.opening}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import ConfigurationError, StateUnusable
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.vault import sealed
from ockam_twisted.vault.opening import checkPassphrase, openVault, readPassphrase
from ockam_twisted.vault.sealed import SETTING


class OpeningTests(SynchronousTestCase):
    """
    Passphrases and vaults that an operator has named.
    """

    def test_passphrase(self) -> None:
        """
        It comes from a file, a credential of systemd or the environment; its
        line end does not matter.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "p").write_bytes(b"secret\n")
        self.assertIsNone(readPassphrase("", {}))
        self.assertEqual(readPassphrase(str(folder / "p"), {}), b"secret")
        self.assertEqual(readPassphrase("credential:p", {"CREDENTIALS_DIRECTORY": str(folder)}), b"secret")
        self.assertEqual(readPassphrase("credential:../x/p", {"CREDENTIALS_DIRECTORY": str(folder)}), b"secret")
        self.assertEqual(readPassphrase("env:SECRET", {"SECRET": "secret"}), b"secret")
        (folder / "empty").write_bytes(b"\n")
        for text, says in (
            ("env:SECRET", "not set"),
            (str(folder / "empty"), "empty"),
            ("/nowhere/p", "cannot read"),
            ("credential:p", "systemd"),
        ):
            self.assertIn(says, str(self.assertRaises(ConfigurationError, readPassphrase, text, {})))

    def test_check(self) -> None:
        """
        Encrypted secrets need the passphrase; others need none.
        """
        self.patch(sealed, "COST", 2**10)
        store = MemoryStore()
        checkPassphrase(None, None)
        checkPassphrase(None, b"x")
        self.successResultOf(Deferred.fromCoroutine(openVault(None, store, "", b"x")))
        setting = store.setting(SETTING)
        checkPassphrase(setting, b"x")
        self.assertIn("--passphrase", str(self.assertRaises(StateUnusable, checkPassphrase, setting, None)))
        self.assertIn("wrong", str(self.assertRaises(StateUnusable, checkPassphrase, setting, b"y")))
        self.failureResultOf(Deferred.fromCoroutine(openVault(None, store, "", None)), StateUnusable)

    def test_bad(self) -> None:
        """
        What is no token is refused.
        """
        opening = Deferred.fromCoroutine(openVault(None, MemoryStore(), "yubikey", None))
        self.assertIn("RFC 7512", str(self.failureResultOf(opening, ConfigurationError).value))
