"""
Making what the other modules verify: identities, purpose keys, credentials.

These are coroutines that await the Deferreds of a vault; callers drive them
with C{Deferred.fromCoroutine}.  Secrets are stored before what needs them,
and each step is one write, so that a crash in between leaves nothing worse
than a secret that nobody uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import frozen

from ockam_twisted.errors import LocalProtocolError, RemoteProtocolError, StateUnusable
from ockam_twisted.identity import history as histories
from ockam_twisted.identity import purpose_keys
from ockam_twisted.identity.credentials import MEMBER_SCHEMA, Credential, CredentialAndPurposeKey, credentialData
from ockam_twisted.identity.history import ChangeHistory, appendChange, changeData
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.purpose_keys import Attestation, PurposePublicKey, attestationData
from ockam_twisted.interfaces import IIdentityStore, IVault
from ockam_twisted.vault.primitives import VerifyingKey, expectArray
from ockam_twisted.wire import cbor

#: Names of settings.  Each holds C{[public, handle]} in one value, so that
#: the two cannot come apart: a change history or an attestation, and the
#: handle of its secret key.
IDENTITY = "identity"
SECURE_CHANNEL_KEY = "secure-channel-key"
CREDENTIAL_KEY = "credential-key"


@frozen
class Identity:
    """
    An identity whose secret key we have.

    @ivar history: Its change history.
    @ivar signingKey: The vault's handle of its latest key.
    """

    history: ChangeHistory
    signingKey: bytes

    @property
    def identifier(self) -> Identifier:
        """
        Who it is.
        """
        return self.history.identifier


@frozen
class PurposeKey:
    """
    A purpose key whose secret we have.

    @ivar key: The vault's handle of it.
    @ivar publicKey: 32 bytes for secure channels, a L{VerifyingKey} for
        credentials.
    @ivar attestation: As it travels.
    @ivar createdAt: Epoch seconds.
    @ivar expiresAt: Epoch seconds.
    """

    key: bytes
    publicKey: PurposePublicKey
    attestation: bytes
    createdAt: int
    expiresAt: int


async def createIdentity(vault: IVault, now: int, kind: int | None = None) -> Identity:
    """
    Make an identity.

    @param now: Epoch seconds.
    @param kind: 0 Ed25519, 1 P-256; L{None}: as the vault likes.
    """
    return await _addChange(vault, None, now, kind)


async def rotateIdentity(vault: IVault, identity: Identity, now: int, kind: int | None = None) -> Identity:
    """
    Replace the key of an identity.  The old secret stays in the vault: delete
    it once the result is stored, or use L{rotateStored}.

    @param now: Epoch seconds.
    @param kind: 0 Ed25519, 1 P-256; L{None}: as the vault likes.
    @raise IdentityRefused: It has been done too often.
    """
    return await _addChange(vault, identity, now, kind)


async def _addChange(vault: IVault, before: Identity | None, now: int, kind: int | None) -> Identity:
    handle = await vault.generateSigningKey(vault.signingKind if kind is None else kind)
    key: VerifyingKey = await vault.verifyingKey(handle)
    # A clock that went back must not make an invalid change.
    validFrom = now if before is None else max(now, before.history.latest.validFrom)
    previousHash = None if before is None else before.history.latest.hash
    data = changeData(previousHash, key, validFrom, validFrom + histories.LIFETIME)
    signature = await vault.sign(handle, data)
    previousSignature = None if before is None else await vault.sign(before.signingKey, data)
    return Identity(
        appendChange(None if before is None else before.history, data, signature, previousSignature), handle
    )


async def attestSecureChannelKey(vault: IVault, identity: Identity, now: int) -> PurposeKey:
    """
    Make a key for secure channels.

    @param now: Epoch seconds.
    @raise LocalProtocolError: The identity's own key is not valid any more.
    """
    handle = await vault.generateAgreementKey(persistent=True)
    return await _attest(vault, identity, now, handle, await vault.agreementPublicKey(handle))


async def attestCredentialKey(vault: IVault, identity: Identity, now: int, kind: int | None = None) -> PurposeKey:
    """
    Make a key for signing credentials.

    @param now: Epoch seconds.
    @param kind: 0 Ed25519, 1 P-256; L{None}: as the vault likes.
    @raise LocalProtocolError: The identity's own key is not valid any more.
    """
    handle = await vault.generateSigningKey(vault.signingKind if kind is None else kind)
    return await _attest(vault, identity, now, handle, await vault.verifyingKey(handle))


async def _attest(vault: IVault, identity: Identity, now: int, handle: bytes, key: PurposePublicKey) -> PurposeKey:
    latest = identity.history.latest
    createdAt = max(now, latest.validFrom)
    expiresAt = min(createdAt + purpose_keys.LIFETIME, latest.validUntil)
    if expiresAt < now:
        raise LocalProtocolError(f"the key of {identity.identifier} is too old: rotate the identity")
    data = attestationData(identity.history, key, createdAt, expiresAt)
    attestation = Attestation.build(data, await vault.sign(identity.signingKey, data))
    return PurposeKey(handle, key, attestation.encode(), createdAt, expiresAt)


async def issueCredential(
    vault: IVault,
    purposeKey: PurposeKey,
    subject: Identifier,
    attributes: Mapping[bytes, bytes],
    now: int,
    lifetime: int,
    subjectLatestChangeHash: bytes | None = None,
    schema: int = MEMBER_SCHEMA,
) -> CredentialAndPurposeKey:
    """
    Say which attributes somebody has.

    @param purposeKey: From L{attestCredentialKey}.
    @param now: Epoch seconds.
    @param lifetime: Seconds; cut where the purpose key ends.
    @raise LocalProtocolError: The purpose key is for something else.
    """
    if not isinstance(purposeKey.publicKey, VerifyingKey):
        raise LocalProtocolError("the key to sign a credential with is not for credentials")
    createdAt = max(now, purposeKey.createdAt)
    expiresAt = min(createdAt + lifetime, purposeKey.expiresAt)
    data = credentialData(subject, subjectLatestChangeHash, attributes, createdAt, expiresAt, schema)
    credential = Credential.build(data, await vault.sign(purposeKey.key, data))
    return CredentialAndPurposeKey(credential, Attestation.decode(purposeKey.attestation))


# What is kept.


async def loadOrCreate(
    vault: IVault, store: IIdentityStore, now: int, kind: int | None = None
) -> tuple[Identity, PurposeKey]:
    """
    The identity of this node and its key for secure channels: those in the
    store, or new ones.

    @param now: Epoch seconds.
    @param kind: Of a new identity's key: 0 Ed25519, 1 P-256; L{None}: as the
        vault likes.
    @raise StateUnusable: The stored identity is damaged, or its secret is
        not in the vault.
    """
    identity = await load(vault, store)
    if identity is None:
        identity = await createIdentity(vault, now, kind)
        await _store(store, identity)
    return identity, await secureChannelKey(vault, store, identity, now)


async def load(vault: IVault, store: IIdentityStore) -> Identity | None:
    """
    The identity in the store, if there is one; raises as L{loadOrCreate}.
    """
    stored = store.setting(IDENTITY)
    if stored is None:
        return None
    try:
        encoded, handle = _decodePair(stored)
        history = ChangeHistory.fromBytes(encoded)
    except RemoteProtocolError as error:
        raise StateUnusable(f"the stored identity is damaged: {error}") from None
    try:
        key = await vault.verifyingKey(handle)
    except LocalProtocolError:
        key = None
    if key != history.latest.key:
        raise StateUnusable(f"the secret key of {history.identifier} is not there")
    if store.changeHistory(history.identifier) != encoded:
        await store.storeChangeHistory(history.identifier, encoded)
    return Identity(history, handle)


def storedIdentifier(setting: bytes) -> Identifier:
    """
    Whose identity a stored setting L{IDENTITY} holds, without its secret.

    @raise StateUnusable: It is damaged.
    """
    return storedHistory(setting).identifier


def storedHistory(setting: bytes) -> ChangeHistory:
    """
    The change history in a stored setting L{IDENTITY}.

    @raise StateUnusable: It is damaged.
    """
    try:
        return ChangeHistory.fromBytes(_decodePair(setting)[0])
    except RemoteProtocolError as error:
        raise StateUnusable(f"the stored identity is damaged: {error}") from None


async def rotateStored(
    vault: IVault, store: IIdentityStore, identity: Identity, now: int, kind: int | None = None
) -> Identity:
    """
    Replace the key of the identity of this node, store that, then delete the
    old secret.  Purpose keys have to be attested anew.

    @param now: Epoch seconds.
    @param kind: 0 Ed25519, 1 P-256; L{None}: as the vault likes.
    """
    rotated = await rotateIdentity(vault, identity, now, kind)
    await _store(store, rotated)
    await vault.deleteKey(identity.signingKey)
    return rotated


async def secureChannelKey(vault: IVault, store: IIdentityStore, identity: Identity, now: int) -> PurposeKey:
    """
    The stored key for secure channels while its attestation verifies, else a
    new one.

    @param now: Epoch seconds.
    """
    return await _purposeKey(
        vault, store, identity, now, SECURE_CHANNEL_KEY, vault.agreementPublicKey, attestSecureChannelKey
    )


async def credentialKey(vault: IVault, store: IIdentityStore, identity: Identity, now: int) -> PurposeKey:
    """
    The stored key for signing credentials while its attestation verifies,
    else a new one.

    @param now: Epoch seconds.
    """
    return await _purposeKey(vault, store, identity, now, CREDENTIAL_KEY, vault.verifyingKey, attestCredentialKey)


async def _purposeKey(
    vault: IVault,
    store: IIdentityStore,
    identity: Identity,
    now: int,
    name: str,
    publicKey: Callable[[bytes], Awaitable[PurposePublicKey]],
    attest: Callable[[IVault, Identity, int], Awaitable[PurposeKey]],
) -> PurposeKey:
    stored = store.setting(name)
    old: bytes | None = None
    if stored is not None:
        try:
            encoded, old = _decodePair(stored)
            attestation = Attestation.decode(encoded)
            attestation.verify(identity.history, now)
            if await publicKey(old) == attestation.publicKey:
                return PurposeKey(old, attestation.publicKey, encoded, attestation.createdAt, attestation.expiresAt)
        except (RemoteProtocolError, LocalProtocolError):
            pass  # Expired, by an earlier key, or without its secret: make a new one.
    made = await attest(vault, identity, now)
    await store.storeSetting(name, _encodePair(made.attestation, made.key))
    if old is not None:
        await vault.deleteKey(old)
    return made


async def _store(store: IIdentityStore, identity: Identity) -> None:
    encoded = identity.history.encode()
    await store.storeSetting(IDENTITY, _encodePair(encoded, identity.signingKey))
    await store.storeChangeHistory(identity.identifier, encoded)


def _encodePair(public: bytes, handle: bytes) -> bytes:
    return cbor.encode((public, handle))


def _decodePair(data: bytes) -> tuple[bytes, bytes]:
    reader = cbor.Reader(data)
    expectArray(reader, 2)
    pair = (reader.readBytes(len(data)), reader.readBytes(len(data)))
    reader.expectEnd()
    return pair
