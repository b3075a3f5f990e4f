"""
The vectors of this room, and identities for its tests.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ockam_twisted.identity.creation import Identity, createIdentity
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.vault.software import SoftwareVault

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "vectors.json").read_text())
IDENTITIES: dict[str, dict[str, Any]] = {vector["name"]: vector for vector in VECTORS["identities"]}
ATTESTATIONS: dict[str, dict[str, Any]] = {
    vector["name"]: vector for vector in VECTORS["derived"]["purpose_key_attestations"]
}

#: Epoch seconds at which everything in the vectors is valid.
NOW = 1_700_000_200

T = TypeVar("T")


def run(coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
    """
    The result of a coroutine that waits for nothing.
    """
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    if not results:
        raise AssertionError("the coroutine waits for something")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    result: T = results[0]
    return result


def history(name: str) -> ChangeHistory:
    """
    A history of the vectors.
    """
    return ChangeHistory.fromBytes(bytes.fromhex(IDENTITIES[name]["change_history"]))


def known(vault: SoftwareVault, name: str) -> Identity:
    """
    An identity of the vectors whose secret is known, in C{vault}.
    """
    vector = IDENTITIES[name]
    handles: list[bytes] = []
    vault.importSigningKey(0, bytes.fromhex(vector["latest_primary_secret_key"])).addCallback(handles.append)
    return Identity(history(name), handles[0])


def fresh(vault: SoftwareVault, now: int = NOW, kind: int = 0) -> Identity:
    """
    A new identity.
    """
    return run(createIdentity(vault, now, kind))
