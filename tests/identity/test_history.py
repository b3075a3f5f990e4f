"""
Tests for L{ockam_twisted.identity.history}.
"""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, IdentityRefused, RemoteProtocolError
from ockam_twisted.identity.creation import Identity, rotateIdentity
from ockam_twisted.identity.history import (
    MAX_CHANGES,
    Change,
    ChangeHistory,
    Comparison,
    ReceivedHistory,
    appendChange,
    changeData,
)
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.vault.primitives import Signature, VerifyingKey, sha256
from ockam_twisted.vault.software import SoftwareVault
from tests.identity.samples import IDENTITIES, NOW, VECTORS, fresh, history, known, run


class VectorTests(SynchronousTestCase):
    """
    Histories made by the reference implementation.
    """

    def test_verify(self) -> None:
        """
        Every vector verifies, is its stated identifier's, and encodes to the
        bytes it came as.
        """
        others = VECTORS["derived"]["identifiers_of_histories_without_one_in_the_repository"]
        self.assertEqual(len(IDENTITIES), 10)
        for name, vector in IDENTITIES.items():
            stated = Identifier(vector["identifier"] or others[name])
            data = bytes.fromhex(vector["change_history"])
            found = ChangeHistory.fromBytes(data, expected=stated)
            self.assertEqual(found.identifier, stated)
            self.assertEqual(found.encode(), data)

    def test_rebuild(self) -> None:
        """
        With its secret each history is made again byte for byte.
        """
        vault = SoftwareVault()
        for name, vector in IDENTITIES.items():
            if "latest_primary_secret_key" not in vector:
                continue
            identity = known(vault, name)
            change = identity.history.latest
            data = changeData(None, change.key, change.validFrom, change.validUntil)
            signature = self.successResultOf(vault.sign(identity.signingKey, data))
            self.assertEqual(appendChange(None, data, signature).encode().hex(), vector["change_history"])

    def test_everyBit(self) -> None:
        """
        A vector of either kind with any one bit changed is refused.
        """
        for name in ("display_test", "orchestrator_controller_p256"):
            data = bytes.fromhex(IDENTITIES[name]["change_history"])
            for bit in range(len(data) * 8):
                changed = bytearray(data)
                changed[bit // 8] ^= 1 << bit % 8
                self.assertRaises(RemoteProtocolError, ChangeHistory.fromBytes, bytes(changed))

    def test_superseded(self) -> None:
        """
        The formats of earlier versions are refused.
        """
        vectors = VECTORS["superseded_identity_formats"]
        self.assertEqual(len(vectors), 5)
        for vector in vectors:
            data = bytes.fromhex(vector["change_history"])
            self.assertRaises(RemoteProtocolError, ReceivedHistory.decode, data)

    def test_expected(self) -> None:
        """
        A history of somebody else is refused.
        """
        data = bytes.fromhex(IDENTITIES["display_test"]["change_history"])
        other = Identifier.fromDigest(bytes(32))
        self.assertRaises(IdentityRefused, ChangeHistory.fromBytes, data, other)


class RotationTests(SynchronousTestCase):
    """
    Histories of several changes.
    """

    def setUp(self) -> None:
        self.vault = SoftwareVault()
        self.first = fresh(self.vault)

    def rotate(self, identity: Identity, kind: int = 0) -> Identity:
        """
        Replace the key.
        """
        return run(rotateIdentity(self.vault, identity, NOW + 1, kind))

    def forge(
        self, validFrom: int = NOW, previousHash: bytes | None = None, signedByPrevious: bool = True
    ) -> tuple[bytes, Signature, Signature | None]:
        """
        A second change, signed rightly, with contents to choose.
        """
        handle = self.successResultOf(self.vault.generateSigningKey())
        key: VerifyingKey = self.successResultOf(self.vault.verifyingKey(handle))
        data = changeData(previousHash or self.first.history.latest.hash, key, validFrom, NOW + 100)
        sign = self.vault.sign
        previous = self.successResultOf(sign(self.first.signingKey, data)) if signedByPrevious else None
        return data, self.successResultOf(sign(handle, data)), previous

    def test_roundTrip(self) -> None:
        """
        Rotated histories, across kinds of keys, verify from their bytes, and
        the identifier stays.
        """
        identity = self.first
        for kind in (0, 1, 1, 0):
            identity = self.rotate(identity, kind)
            again = ChangeHistory.fromBytes(identity.history.encode(), self.first.identifier)
            self.assertEqual(again, identity.history)
            self.assertEqual(again.latest.key.kind, kind)
        self.assertEqual(len(again.changes), 5)

    def test_forgedWorks(self) -> None:
        """
        What L{forge} makes without a fault is accepted, so that the tests
        below fail for the reason they name.
        """
        self.assertEqual(len(appendChange(self.first.history, *self.forge()).changes), 2)

    def test_refused(self) -> None:
        """
        A change that does not follow, begins earlier, or lacks the signature
        of the key before is refused.
        """
        for forged in (
            self.forge(validFrom=NOW - 1),
            self.forge(previousHash=bytes(32)),
            self.forge(signedByPrevious=False),
        ):
            self.assertRaises(IdentityRefused, appendChange, self.first.history, *forged)
            everything = ReceivedHistory((*self.first.history.changes, Change.build(*forged))).encode()
            self.assertRaises(IdentityRefused, ChangeHistory.fromBytes, everything)

    def test_headless(self) -> None:
        """
        A history cannot begin with a later change.
        """
        rotated = self.rotate(self.first)
        tail = ReceivedHistory(rotated.history.changes[1:]).encode()
        self.assertRaises(IdentityRefused, ReceivedHistory.decode, tail)

    def test_signaturesSwapped(self) -> None:
        """
        The two signatures of a change cannot take each other's place.
        """
        change = self.rotate(self.first).history.latest
        assert change.previousSignature is not None
        swapped = evolve(change, signature=change.previousSignature, previousSignature=change.signature)
        both = ReceivedHistory((*self.first.history.changes, swapped))
        self.assertRaises(IdentityRefused, both.verify)

    def test_everyBit(self) -> None:
        """
        A rotated history with any one of sampled bits changed is refused.
        """
        data = self.rotate(self.first).history.encode()
        for bit in range(0, len(data) * 8, 7):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            self.assertRaises(RemoteProtocolError, ChangeHistory.fromBytes, bytes(changed))

    def test_needlessPreviousSignature(self) -> None:
        """
        A previous signature on the first change is kept and means nothing.
        """
        change = self.first.history.latest
        odd = ReceivedHistory((evolve(change, previousSignature=Signature(0, bytes(64))),))
        found = ChangeHistory.fromBytes(odd.encode())
        self.assertEqual((found.identifier, found.encode()), (self.first.identifier, odd.encode()))

    def test_bounded(self) -> None:
        """
        There are at most as many changes as are permitted.
        """
        identity = self.first
        for _ in range(MAX_CHANGES - 1):
            identity = self.rotate(identity)
        self.assertEqual(len(ChangeHistory.fromBytes(identity.history.encode()).changes), MAX_CHANGES)
        with self.assertRaises(IdentityRefused):
            self.rotate(identity)
        change = identity.history.latest
        more = ReceivedHistory((*identity.history.changes, change)).encode()
        self.assertRaises(DecodeError, ReceivedHistory.decode, more)

    def test_compare(self) -> None:
        """
        Equal, newer, older and in conflict are told apart.
        """
        second = self.rotate(self.first).history
        other = self.rotate(self.first).history
        first = self.first.history
        self.assertIs(first.compare(first), Comparison.EQUAL)
        self.assertIs(second.compare(first), Comparison.NEWER)
        self.assertIs(first.compare(second), Comparison.OLDER)
        self.assertIs(second.compare(other), Comparison.CONFLICT)
        self.assertIs(first.compare(fresh(self.vault).history), Comparison.CONFLICT)


class DecodeTests(SynchronousTestCase):
    """
    Bytes from outside.
    """

    def test_strict(self) -> None:
        """
        Nothing, an empty history, trailing bytes and extra elements are
        refused.
        """
        data = bytes.fromhex(IDENTITIES["display_test"]["change_history"])
        for wrong in (b"", b"\x80", data + b"\x00", data[:-1], b"\x9f" + data[1:] + b"\xff", b"\x81\x80"):
            self.assertRaises(DecodeError, ReceivedHistory.decode, wrong)

    def test_versions(self) -> None:
        """
        Another version, or another kind of data, is refused as such.
        """
        change = history("display_test").latest
        self.assertEqual(sha256(change.data), change.hash)
        for position in (1, 2):
            data = bytearray(change.data)
            data[position] = 2
            self.assertRaises(IdentityRefused, Change.build, bytes(data), change.signature)

    @given(st.binary(max_size=300))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzz(self, data: bytes) -> None:
        """
        Any bytes are refused with an error of ours.
        """
        self.assertRaises(RemoteProtocolError, ChangeHistory.fromBytes, data)

    @given(st.integers(0, 127), st.binary(min_size=1, max_size=4))
    @settings(deadline=None, max_examples=200, derandomize=True)
    def test_fuzzNear(self, position: int, inserted: bytes) -> None:
        """
        A history with bytes put in anywhere is refused with an error of ours.
        """
        data = bytes.fromhex(IDENTITIES["display_test"]["change_history"])
        changed = data[:position] + inserted + data[position:]
        self.assertRaises(RemoteProtocolError, ChangeHistory.fromBytes, changed)
