"""
The folder that a node keeps its state in: ours alone, and for one process at
a time (design, section 4, "State").
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from ockam_twisted.errors import ConfigurationError, StateInUse, StateUnusable
from ockam_twisted.storage.schema import checkDatabase

_INSTANCE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def defaultStateFolder(command: str, instance: str, environ: Mapping[str, str]) -> Path:
    """
    Where a command keeps its state unless it is told: C{$STATE_DIRECTORY}
    (which systemd sets), else C{ockam-twisted/COMMAND/INSTANCE} under
    C{$XDG_STATE_HOME} or C{~/.local/state}.

    @raise ConfigurationError: C{instance} is no name for an instance.
    """
    if not _INSTANCE.fullmatch(instance) or instance in (".", ".."):
        raise ConfigurationError(
            f"--instance {instance[:80]!a} is not possible: 1 to 64 letters, digits, dots, dashes and underscores"
        )
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):  # The standard wants relative ones ignored.
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return Path(base, "ockam-twisted", command, instance)


def _isWritable(folder: Path) -> bool:
    """
    May the effective user, who is not the real one while privileges are put
    aside, make files there?
    """
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


class StateFolder:
    """
    A folder with mode 0700, a lock and a database.

    @ivar path: Where it is.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"<StateFolder {self.path}>"

    @property
    def database(self) -> Path:
        """
        The file for L{ockam_twisted.storage.sqlite.SQLiteStore}.
        """
        return self.path / "state.sqlite"

    def check(self) -> None:
        """
        Would L{open} succeed, and is the database sound?  For before a
        process forks: leaves nothing open, and makes no folder.

        @raise StateUnusable: No; the text is one plain line that says what to
            do.
        """
        if self._lock is not None:
            raise StateUnusable(f"the state folder {self.path} is already open")
        if not self.exists():
            self._checkParent()
            return
        self.checkFolder()
        lock = self._takeLock()
        try:
            checkDatabase(self.database)
        finally:
            os.close(lock)

    def open(self) -> None:
        """
        Make the folder if it is not there, and lock it until L{close} or the
        end of the process.  For after a process has forked.

        @raise StateUnusable: It is not ours, not private, not writable, or in
            use.
        """
        if self._lock is not None:
            raise StateUnusable(f"the state folder {self.path} is already open")
        if not self.exists():
            try:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StateUnusable(
                    f"cannot make the state folder {self.path}: {error.strerror}; use --state-dir for another"
                ) from None
        self.checkFolder()
        self._lock = self._takeLock()

    def close(self) -> None:
        """
        Let others use it.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def exists(self) -> bool:
        """
        Is there something at its path?

        @raise StateUnusable: That cannot be found out.
        """
        return self._exists(self.path)

    def _exists(self, path: Path) -> bool:
        try:
            os.stat(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateUnusable(
                f"the state folder {self.path} cannot be used by user {os.geteuid()}: {error.strerror};"
                " use --state-dir for another"
            ) from None
        return True

    def _checkParent(self) -> None:
        """
        Could the folder be made?
        """
        parent = self.path.absolute().parent
        while not self._exists(parent):
            parent = parent.parent
        if not parent.is_dir():
            raise StateUnusable(f"cannot make the state folder {self.path}: {parent} is not a folder")
        if not _isWritable(parent):
            raise StateUnusable(
                f"cannot make the state folder {self.path}: {parent} is not writable for user {os.geteuid()};"
                " use --state-dir for another"
            )

    def checkFolder(self) -> None:
        """
        Is the folder, which is there, ours and private?

        @raise StateUnusable: No.
        """
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise StateUnusable(f"the state folder {self.path} cannot be used: {error.strerror}") from None
        if not stat.S_ISDIR(status.st_mode):
            raise StateUnusable(f"the state folder {self.path} is not a folder")
        if status.st_uid != os.geteuid():
            raise StateUnusable(
                f"the state folder {self.path} belongs to user {status.st_uid}, and this is user {os.geteuid()};"
                " run as that user or use --state-dir"
            )
        mends = f"run: chmod 700 {shlex.quote(str(self.path))}"
        if status.st_mode & 0o077 and self._isForeign():
            raise StateUnusable(
                f"{self.path} is no state folder: there are other files in it, and other users can get at them;"
                " use --state-dir for one of its own"
            )
        if status.st_mode & 0o077:
            raise StateUnusable(
                f"other users can get at the state folder {self.path}; {mends}"
                " (in a systemd unit: StateDirectoryMode=0700)"
            )
        if status.st_mode & 0o700 != 0o700:
            raise StateUnusable(f"the state folder {self.path} is not writable; {mends}")
        if not _isWritable(self.path):
            raise StateUnusable(f"the state folder {self.path} is not writable; use --state-dir for another")

    def _isForeign(self) -> bool:
        """
        Is there something in it, and nothing of ours?
        """
        try:
            names = {each.name for each in self.path.iterdir()}
        except OSError:
            return False
        return bool(names) and not names & {"lock", self.database.name}

    def _takeLock(self) -> int:
        """
        @return: The descriptor that holds the lock.
        """
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateUnusable(f"the state folder {self.path} cannot be locked: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StateInUse(
                f"the state folder {self.path} is in use by another process; use --instance NAME or --state-dir PATH"
            ) from None
        except OSError as error:
            os.close(lock)
            raise StateUnusable(f"the state folder {self.path} cannot be locked: {error.strerror}") from None
        return lock
