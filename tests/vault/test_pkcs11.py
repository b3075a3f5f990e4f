"""
Tests for L{ockam_twisted.vault.pkcs11}, with a real token: SoftHSM, in
threads, on the real reactor.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from ockam_twisted.errors import ConfigurationError, LocalProtocolError, StateUnusable
from ockam_twisted.identity.creation import (
    credentialKey,
    issueCredential,
    load,
    loadOrCreate,
    rotateStored,
    secureChannelKey,
)
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.vault.pkcs11 import PKCS11Vault, TokenURI
from ockam_twisted.vault.primitives import P256, verify

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
Steps = Generator[Deferred[Any], Any, None]


def makeToken(folder: Path) -> str:
    """
    Make a token.

    @return: Its URI.
    """
    try:
        import pkcs11  # noqa: F401
    except ImportError:
        raise SkipTest("NOT INSTALLED: python-pkcs11") from None
    module = next((each for each in MODULES if os.path.exists(each)), None)
    if module is None or shutil.which("softhsm2-util") is None:
        raise SkipTest("NOT INSTALLED: softhsm2")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    (folder / "pin").write_text("123456\n")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "ours", "--pin", "123456", "--so-pin", "123456"],
        check=True,
        capture_output=True,
    )
    return f"pkcs11:token=ours?module-path={module}&pin-source={folder}/pin"


@cache
def theToken() -> tuple[Path, str]:
    """
    One token for all tests: its library reads its configuration once.
    """
    folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, makeToken(folder)


class URITests(SynchronousTestCase):
    """
    Where a token is.
    """

    def test_uri(self) -> None:
        """
        It is read as RFC 7512 has it, and what is missing is said.
        """
        uri = TokenURI.fromText("pkcs11:token=my%20token;object=x?module-path=/l.so&pin-source=file:/p")
        self.assertEqual(uri, TokenURI("my token", "/l.so", "/p"))
        for text in ("", "pkcs11:", "pkcs11:token=x", "pkcs11:token=x?module-path=/l.so", "file:/x"):
            self.assertRaises(ConfigurationError, TokenURI.fromText, text)
        self.assertRaises(ConfigurationError, uri.pin)


class TokenTests(TestCase):
    """
    Keys that do not leave.
    """

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.folder, self.uri = theToken()
        self.store = MemoryStore()
        self.reactor = reactor
        self.vault = self.open()

    def open(self, uri: str = "") -> PKCS11Vault:
        """
        Open the token.
        """
        vault = PKCS11Vault(self.reactor, TokenURI.fromText(uri or self.uri), self.store)
        self.addCleanup(vault.close)
        return vault

    @inlineCallbacks
    def test_identity(self) -> Steps:
        """
        An identity whose key is in the token is made, found again, rotated,
        and signs credentials; its secret is nowhere else.
        """

        def run(coroutine: Any) -> Deferred[Any]:
            return Deferred.fromCoroutine(coroutine)

        identity, _ = yield run(loadOrCreate(self.vault, self.store, 1000))
        self.assertEqual(identity.history.latest.key.kind, P256)
        # The one secret in the store is that of X25519.
        self.assertEqual(len(self.store.secretHandles()), 1)
        again = yield run(load(self.open(), self.store))
        self.assertEqual(again.identifier, identity.identifier)
        rotated = yield run(rotateStored(self.vault, self.store, identity, 2000))
        verified = ChangeHistory.fromBytes(rotated.history.encode())
        self.assertEqual((verified.identifier, len(verified.changes)), (identity.identifier, 2))
        yield self.assertFailure(self.vault.verifyingKey(identity.signingKey), LocalProtocolError)
        yield run(secureChannelKey(self.vault, self.store, rotated, 2000))
        key = yield run(credentialKey(self.vault, self.store, rotated, 2000))
        subject = Identifier.fromDigest(bytes(32))
        both = yield run(issueCredential(self.vault, key, subject, {b"a": b"b"}, 2000, 60))
        self.assertEqual(both.verify({verified.identifier: verified}, 2001).attributes, ((b"a", b"b"),))

    @inlineCallbacks
    def test_sign(self) -> Steps:
        """
        What the token signs verifies in software.
        """
        handle = yield self.vault.generateSigningKey()
        key = yield self.vault.verifyingKey(handle)
        signature = yield self.vault.sign(handle, b"data")
        self.assertTrue(verify(key, signature, b"data"))
        self.assertFalse(verify(key, signature, b"other"))
        yield self.vault.deleteKey(handle)
        yield self.vault.deleteKey(handle)
        yield self.assertFailure(self.vault.sign(handle, b"data"), LocalProtocolError)

    @inlineCallbacks
    def test_noSecretComesOut(self) -> Steps:
        """
        The token itself refuses to hand the key out.
        """
        import pkcs11

        handle = yield self.vault.generateSigningKey()
        key = self.vault._session.get_key(
            object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=handle.removeprefix(b"pkcs11:")
        )
        self.assertRaises(pkcs11.PKCS11Error, key.__getitem__, pkcs11.Attribute.VALUE)

    @inlineCallbacks
    def test_unusable(self) -> Steps:
        """
        A wrong token or library is one plain line.
        """
        for old, new in (("token=ours", "token=theirs"), ("libsofthsm2.so", "nothing.so")):
            failing = self.open(self.uri.replace(old, new)).generateSigningKey()
            error = yield self.assertFailure(failing, StateUnusable)
            self.assertTrue(str(error).isprintable(), error)
        self.assertRaises(LocalProtocolError, self.vault.generateSigningKey, 0)

    @inlineCallbacks
    def test_software(self) -> Steps:
        """
        Keys for channels are in software, as ever.
        """
        handle = yield self.vault.generateAgreementKey(persistent=True)
        public = yield self.vault.agreementPublicKey(handle)
        other = yield self.vault.generateAgreementKey()
        shared = yield self.vault.agree(other, public)
        self.assertEqual(len(shared), 32)
