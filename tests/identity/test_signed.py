"""
Tests for L{ockam_twisted.identity.signed}.
"""

from __future__ import annotations

import cbor2
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, IdentityRefused
from ockam_twisted.identity.signed import (
    ATTESTATION,
    CHANGE,
    CLOCK_SKEW,
    checkTimes,
    openVersionedData,
    versionedData,
)


class SignedTests(SynchronousTestCase):
    """
    The envelope of what is signed.
    """

    def test_form(self) -> None:
        """
        It is an array of version, kind and bytes, as another codec writes it.
        """
        for size in (0, 23, 24, 300):
            data = versionedData(ATTESTATION, bytes(size))
            self.assertEqual(data, cbor2.dumps([1, 2, bytes(size)]))
        inner = openVersionedData(versionedData(CHANGE, b"\x05"), CHANGE)
        self.assertEqual(inner.readUint(), 5)
        inner.expectEnd()

    def test_refused(self) -> None:
        """
        Another version or kind is refused as such; other shapes do not
        decode.
        """
        for value in ([2, 1, b""], [0, 1, b""], [1, 2, b""]):
            self.assertRaises(IdentityRefused, openVersionedData, cbor2.dumps(value), CHANGE)
        shapes: list[object] = [[1, 1], [1, 1, b"", 0], [1, 1, "text"], [256, 1, b""], {1: 1}, None]
        for shape in shapes:
            self.assertRaises(DecodeError, openVersionedData, cbor2.dumps(shape), CHANGE)
        self.assertRaises(DecodeError, openVersionedData, versionedData(CHANGE, b"") + b"\x00", CHANGE)

    def test_times(self) -> None:
        """
        Validity begins a minute early and ends with the named second.
        """
        checkTimes(100 + CLOCK_SKEW, 200, 100, "it")
        checkTimes(100, 200, 200, "it")
        self.assertRaises(IdentityRefused, checkTimes, 101 + CLOCK_SKEW, 200, 100, "it")
        error = self.assertRaises(IdentityRefused, checkTimes, 100, 200, 203, "it")
        self.assertEqual(str(error), "it expired 3 s ago")
