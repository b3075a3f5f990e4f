"""
Tasks on the state of a node that does not run: the folder is locked, the
database opened, and both are closed in the end.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from ockam_twisted.administration import Administration
from ockam_twisted.authority.authority import Authority
from ockam_twisted.errors import StateUnusable
from ockam_twisted.identity.creation import IDENTITY, loadOrCreate, rotateStored, secureChannelKey, storedIdentifier
from ockam_twisted.interfaces import IVault
from ockam_twisted.places import now
from ockam_twisted.storage.folder import StateFolder, defaultStateFolder
from ockam_twisted.storage.sqlite import SQLiteStore, readSetting
from ockam_twisted.vault.opening import openVault, readPassphrase

#: Works on an open store.
Work = Callable[[SQLiteStore], Awaitable[Any]]


def folderOf(folder: str, command: str, instance: str) -> StateFolder:
    """
    The state folder that is meant.

    @raise OckamError: It has no possible name.
    """
    return StateFolder(folder or defaultStateFolder(command, instance, os.environ))


def withState(reactor: Any, place: StateFolder, work: Work, create: bool = False) -> Any:
    """
    Do something with the state in a folder.  Runs the reactor.

    @param create: Make the folder if it is not there.
    @raise OckamError: The folder cannot be used, or what C{work} raises.
    """
    if not create and not place.exists():
        raise StateUnusable(f"there is no state in {place.path}: has the node ever run? See --state-dir, --command")
    results: list[Any] = []
    failures: list[BaseException] = []

    async def run() -> None:
        try:
            place.open()
            store = SQLiteStore(place.database, reactor)
            try:
                store.open()
                try:
                    results.append(await work(store))
                finally:
                    await store.close()
            finally:
                place.close()
        except Exception as error:
            failures.append(error)
        reactor.callWhenRunning(reactor.stop)

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()))
    reactor.run()
    if failures:
        raise failures[0]
    if not results:
        raise StateUnusable("interrupted")
    return results[0]


@frozen
class Keys:
    """
    How the secrets in a state folder are reached; see
    L{ockam_twisted.config.StateConfig}.
    """

    passphrase: str = ""
    vault: str = ""

    async def open(self, reactor: Any, store: SQLiteStore) -> IVault:
        """
        Open the vault.

        @raise OckamError: It cannot be opened.
        """
        return await openVault(reactor, store, self.vault, readPassphrase(self.passphrase, os.environ))


def hasIdentity(place: StateFolder) -> bool:
    """
    Is there an identity in a state folder?

    @raise OckamError: The folder cannot be used.
    """
    if place.exists():
        place.checkFolder()
    return readSetting(place.database, IDENTITY) is not None


def showIdentity(reactor: Any, place: StateFolder, keys: Keys = Keys()) -> str:
    """
    The identifier in a state folder; made if there is none.

    @raise OckamError: The folder cannot be used.
    """
    if place.exists():
        place.checkFolder()
    stored = readSetting(place.database, IDENTITY)
    if stored is not None:
        # The node may be running: nothing is locked or written.
        return str(storedIdentifier(stored))

    async def make(store: SQLiteStore) -> str:
        identity, _ = await loadOrCreate(await keys.open(reactor, store), store, now())
        return str(identity.identifier)

    return str(withState(reactor, place, make, create=True))


def administer(reactor: Any, place: StateFolder, command: str, task: str, arguments: dict[str, Any], keys: Keys) -> Any:
    """
    Do a task of L{Administration} without the node.

    @raise OckamError: It cannot be done.
    """

    async def run(store: SQLiteStore) -> Any:
        stored = store.setting(IDENTITY)
        if stored is None:
            raise StateUnusable(f"there is no identity in {place.path}: has the node ever run?")
        administration = Administration(Authority(store, now), store, storedIdentifier(stored), command, now)

        async def rotate() -> dict[str, str]:
            vault = await keys.open(reactor, store)
            identity, _ = await loadOrCreate(vault, store, now())
            rotated = await rotateStored(vault, store, identity, now())
            await secureChannelKey(vault, store, rotated, now())
            return {"identifier": str(rotated.identifier), "changes": str(len(rotated.history.changes))}

        administration.tasks["identity rotate"] = lambda: Deferred.fromCoroutine(rotate())
        return await administration.run(task, arguments)

    return withState(reactor, place, run)
