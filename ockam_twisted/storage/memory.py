"""
A store that forgets everything when the process ends: for ephemeral nodes,
and what the durable one reads from.
"""

from __future__ import annotations

from collections import Counter

from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IIdentityStore, INameStore
from ockam_twisted.storage.members import MemberRecords


@frozen
class StoredSecret:
    """
    A secret key and its kind.
    """

    kind: str
    data: bytes = field(repr=False)


@frozen
class NameOwner:
    """
    Whom a relay name belongs to.

    @ivar lastUsed: Epoch seconds.
    """

    identifier: Identifier
    lastUsed: int


@implementer(IIdentityStore, INameStore)
class MemoryStore(MemberRecords):
    """
    Everything in memory; writes have been carried out when they return.
    """

    def __init__(self) -> None:
        super().__init__()
        self._secrets: dict[bytes, StoredSecret] = {}
        self._histories: dict[Identifier, bytes] = {}
        self._settings: dict[str, bytes] = {}
        self._names: dict[str, NameOwner] = {}
        self._owned: Counter[Identifier] = Counter()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    # Of identities.

    def secret(self, handle: bytes) -> tuple[str, bytes] | None:
        """
        See L{IIdentityStore.secret}.
        """
        found = self._secrets.get(handle)
        return None if found is None else (found.kind, found.data)

    def secretHandles(self) -> list[bytes]:
        """
        See L{IIdentityStore.secretHandles}.
        """
        return list(self._secrets)

    def storeSecret(self, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeSecret}.
        """
        self._secrets[handle] = StoredSecret(kind, secret)
        return succeed(None)

    def deleteSecret(self, handle: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.deleteSecret}.
        """
        self._secrets.pop(handle, None)
        return succeed(None)

    def changeHistory(self, identifier: Identifier) -> bytes | None:
        """
        See L{IIdentityStore.changeHistory}.
        """
        return self._histories.get(identifier)

    def storeChangeHistory(self, identifier: Identifier, history: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeChangeHistory}.
        """
        self._histories[identifier] = history
        return succeed(None)

    def setting(self, name: str) -> bytes | None:
        """
        See L{IIdentityStore.setting}.
        """
        return self._settings.get(name)

    def storeSetting(self, name: str, value: bytes) -> Deferred[None]:
        """
        See L{IIdentityStore.storeSetting}.
        """
        self._settings[name] = value
        return succeed(None)

    def deleteSetting(self, name: str) -> Deferred[None]:
        """
        See L{IIdentityStore.deleteSetting}.
        """
        self._settings.pop(name, None)
        return succeed(None)

    # Of relay names.

    def owner(self, name: str) -> Identifier | None:
        """
        See L{INameStore.owner}.
        """
        found = self._names.get(name)
        return None if found is None else found.identifier

    def storeOwner(self, name: str, identifier: Identifier, now: int) -> Deferred[None]:
        """
        See L{INameStore.storeOwner}.
        """
        self._dropName(name)
        self._names[name] = NameOwner(identifier, now)
        self._owned[identifier] += 1
        return succeed(None)

    def owned(self, identifier: Identifier) -> int:
        """
        See L{INameStore.owned}.
        """
        return self._owned[identifier]

    def count(self) -> int:
        """
        See L{INameStore.count}.
        """
        return len(self._names)

    def forgetUnused(self, before: int) -> Deferred[int]:
        """
        See L{INameStore.forgetUnused}.
        """
        unused = [name for name, owner in self._names.items() if owner.lastUsed < before]
        for name in unused:
            self._dropName(name)
        return succeed(len(unused))

    def _dropName(self, name: str) -> None:
        previous = self._names.pop(name, None)
        if previous is not None:
            self._owned[previous.identifier] -= 1
            if not self._owned[previous.identifier]:
                del self._owned[previous.identifier]
