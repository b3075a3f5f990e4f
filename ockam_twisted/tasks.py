"""
The tasks of the C{ockam-twisted} command that are about a node on this
machine: of a running one they are asked through its control socket, of a
stopped one they are done on its state.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from ockam_twisted.control import NotRunning, askNode
from ockam_twisted.errors import ConfigurationError, OckamError, StateInUse, StateUnusable
from ockam_twisted.identity.creation import IDENTITY, storedHistory, storedIdentifier
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.offline import Keys, administer, folderOf, withState
from ockam_twisted.routing.addresses import printable
from ockam_twisted.sessions.pairing import PAIRING, pairingSetting
from ockam_twisted.sessions.retriever import AUTHORITY, SETTING
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.schema import checkDatabase
from ockam_twisted.storage.sqlite import SQLiteStore, readSetting


class Node:
    """
    The node whose state folder is meant, running or stopped.
    """

    def __init__(self, reactor: Any, folder: str, command: str, instance: str, keys: Keys) -> None:
        self.place: StateFolder = folderOf(folder, command, instance)
        self._reactor = reactor
        self._command = command
        self._keys = keys

    def ask(self, task: str, **arguments: Any) -> Any:
        """
        Have a task done.

        @raise OckamError: It cannot be done.
        """
        if self.place.exists():
            self.place.checkFolder()
        try:
            return askNode(self.place.path.absolute(), task, arguments)
        except NotRunning:
            return administer(self._reactor, self.place, self._command, task, arguments, self._keys)

    def work(self, work: Any, create: bool = False) -> Any:
        """
        Do something with the state of a stopped node.

        @raise OckamError: The folder cannot be used, or what C{work} raises.
        """
        try:
            return withState(self._reactor, self.place, work, create)
        except StateInUse:
            name = self._command.removeprefix("ockam-")
            raise StateInUse(f"the state folder {self.place.path} is in use: stop the {name} first") from None


def instancesOf(command: str) -> list[str]:
    """
    The instances of a command that have run as this user.
    """
    beside = folderOf("", command, "default").path.parent
    return sorted(each.name for each in beside.glob("*") if each.is_dir())


def reloadNode(folder: str, command: str, instance: str) -> dict[str, list[str]]:
    """
    Have a node read its file again.

    @return: What was added, removed, changed and kept.
    @raise NotRunning: It does not run.
    @raise OckamError: Nothing was changed; why.
    """
    place = folderOf(folder, command, instance)
    whose = f"the node of {place.path}" if folder else f"{command} (instance {instance})"
    if not place.exists():
        raise NotRunning(f"{whose} does not run: there is no state in {place.path}")
    place.checkFolder()
    try:
        result: dict[str, list[str]] = askNode(place.path.absolute(), "reload", {})
    except NotRunning:
        raise NotRunning(f"{whose} does not run") from None
    return result


def statusOf(folder: str, command: str, instance: str) -> dict[str, Any]:
    """
    How a node is.

    @raise NotRunning: It does not run.
    @raise OckamError: It cannot be asked.
    """
    place = folderOf(folder, command, instance)
    whose = f"the node of {place.path}" if folder else f"{command} (instance {instance})"
    if not place.exists():
        raise NotRunning(
            f"{whose} does not run: there is no state in {place.path} (of a node with --ephemeral nothing is shown)"
        )
    place.checkFolder()
    try:
        status: dict[str, Any] = askNode(place.path.absolute(), "status", {})
    except NotRunning:
        raise NotRunning(f"{whose} does not run") from None
    return status if folder else {"instance": instance, **status}


def when(seconds: int) -> str:
    """
    A calendar time for people.
    """
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _attributes(given: dict[str, str]) -> str:
    return " ".join(f"{printable(key, 60)}={printable(value, 60)}" for key, value in given.items())


def printTickets(tickets: list[dict[str, Any]]) -> None:
    """
    A table of tickets.
    """
    if not tickets:
        print("No tickets.")
    for each in tickets:
        used = f"{len(each['usedBy'])} of {each['uses']} used"
        line = (
            f"{each['id']}  {each['state']:<8} until {when(each['expires'])}  {used}  {_attributes(each['attributes'])}"
        )
        print(line.rstrip())
        for use in each["usedBy"]:
            print(f"              by {use['identifier']} at {when(use['at'])}")


def printMembers(members: list[dict[str, Any]]) -> None:
    """
    A table of members.
    """
    if not members:
        print("No members.")
    for each in members:
        line = f"{each['identifier']}  since {when(each['added'])}  by {printable(each['addedBy'], 80)}"
        print(f"{line}  {_attributes(each['attributes'])}".rstrip())


def asJSON(value: Any) -> None:
    """
    The same for programs.
    """
    print(json.dumps(value, indent=2, sort_keys=True))


# ------------------------------------------------------------- identities --


def exportHistory(place: StateFolder) -> str:
    """
    The public change history of an identity, in hexadecimal.

    @raise StateUnusable: There is none.
    """
    stored = readSetting(place.database, IDENTITY)
    if stored is None:
        raise StateUnusable(f"there is no identity in {place.path}")
    return storedHistory(stored).encode().hex()


def readHistory(text: str) -> ChangeHistory:
    """
    A change history in hexadecimal, verified.

    @raise ConfigurationError: It is none.
    """
    try:
        return ChangeHistory.fromBytes(bytes.fromhex("".join(text.split())))
    except ValueError:
        raise ConfigurationError(
            "that is no change history: it is hexadecimal, as `identity export` prints it"
        ) from None
    except OckamError as error:
        raise ConfigurationError(f"that is no change history: {error}") from None


def importHistory(node: Node, text: str) -> str:
    """
    Keep the change history of somebody else: what is older than that is
    refused from then on.

    @return: Whose it is.
    @raise OckamError: It is none, or older than, or in conflict with, what is
        known.
    """
    history = readHistory(text)

    async def keep(store: SQLiteStore) -> str:
        known = store.changeHistory(history.identifier)
        if known is None or history.isNewerThan(known):
            await store.storeChangeHistory(history.identifier, history.encode())
        return str(history.identifier)

    return str(node.work(keep))


def backUp(place: StateFolder, target: Path) -> str:
    """
    Copy the state, secrets and all, into one file.  The node may be running.

    @return: Whose state it is.
    @raise OckamError: It cannot be done.
    """
    stored = readSetting(place.database, IDENTITY)
    if stored is None:
        raise StateUnusable(f"there is no identity in {place.path}")
    temporary = target.with_name(target.name + ".part")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        source = sqlite3.connect(f"{place.database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        with closing(source), closing(sqlite3.connect(temporary)) as copy:
            source.backup(copy)
        # In one file: whoever restores it has nothing else.
        with closing(sqlite3.connect(temporary)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(temporary, target)
    except FileExistsError as error:
        raise ConfigurationError(f"{error.filename2 or error.filename} exists already") from None
    except (OSError, sqlite3.Error) as error:
        raise StateUnusable(f"cannot write {target}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return str(storedIdentifier(stored))


def restore(place: StateFolder, source: Path) -> str:
    """
    Put the state of a backup into a folder that has none.

    @return: Whose state it is.
    @raise OckamError: It cannot be done; nothing is changed then.
    """
    if not source.is_file():
        raise ConfigurationError(f"there is no file {source}")
    checkDatabase(source)
    stored = readSetting(source, IDENTITY)
    if stored is None:
        raise ConfigurationError(f"{source} is no backup: there is no identity in it")
    place.open()
    try:
        if place.database.exists():
            raise StateUnusable(f"there is state in {place.path} already: move it away first")
        for ending in ("-wal", "-shm", "-journal"):
            # They would be played into the database that is to come.
            left = place.database.with_name(place.database.name + ending)
            if left.exists():
                raise StateUnusable(f"{left} is left of another state: move it away first")
        temporary = place.path / "restored"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as copy:
            copy.write(source.read_bytes())
            copy.flush()
            os.fsync(copy.fileno())
        os.rename(temporary, place.database)
        descriptor = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateUnusable(f"cannot restore into {place.path}: {error.strerror}") from None
    finally:
        place.close()
    return str(storedIdentifier(stored))


def unpair(node: Node, inlet: str = "") -> bool:
    """
    Forget which outlet an inlet is paired with, and which authority attests
    who a node is.

    @param inlet: Forget only which outlet that one of an C{ockam-node} is
        paired with.
    @return: Whether there was anything to forget.
    """

    async def forget(store: SQLiteStore) -> bool:
        kept = (pairingSetting(inlet),) if inlet else (PAIRING, AUTHORITY)
        paired = any(store.setting(each) is not None for each in kept)
        for each in kept if inlet else (*kept, SETTING):
            await store.deleteSetting(each)
        return paired

    return bool(node.work(forget))
