"""
The control socket: how a command on the same machine reaches a running node.

It lies in the state folder, which is ours alone; each request and each
response is one line of JSON.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from ockam_twisted.administration import Administration
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable

NAME = "control"

#: Bytes of a line, and commands at once.
MAX_LINE = 64 * 1024
MAX_CLIENTS = 16

#: Seconds a command waits for the node.
TIMEOUT = 30.0

#: Where a path does not fit into an address of a socket.
_MAX_PATH = 100


class ControlProtocol(LineOnlyReceiver):
    """
    One command.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    _log = Logger()
    factory: ControlFactory

    def connectionMade(self) -> None:
        """
        Somebody has connected: is it us?
        """
        self.factory.clients.add(self)
        if len(self.factory.clients) > MAX_CLIENTS or not _isOwn(self.transport):
            self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        """
        It has gone.
        """
        self.factory.clients.discard(self)

    def lineReceived(self, line: bytes) -> None:
        """
        A request.
        """
        try:
            request = json.loads(line)
            task, arguments = str(request["task"]), dict(request["arguments"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self._reply({"error": "that is no request"})
            return
        self.factory.administration.run(task, arguments).addCallbacks(
            lambda result: self._reply({"result": result}), self._failed
        )

    def _failed(self, failure: Failure) -> None:
        if failure.check(OckamError):
            self._reply({"error": failure.getErrorMessage()})
        else:
            self._log.failure("A command failed", failure, event="command-failed")
            self._reply({"error": "it failed: the log of the node says why"})

    def _reply(self, reply: dict[str, Any]) -> None:
        if self in self.factory.clients:
            self.sendLine(json.dumps(reply).encode("ascii"))


def _isOwn(transport: Any) -> bool:
    """
    Is the other process of the same user, or of root?
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # The mode of the folder has to do.
    credentials = transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", credentials)[1]
    return uid in (0, os.geteuid())


class ControlFactory(Factory):
    """
    Makes them.
    """

    noisy = False

    def __init__(self, administration: Administration) -> None:
        self.administration = administration
        self.clients: set[ControlProtocol] = set()

    def buildProtocol(self, addr: object) -> Any:
        """
        Somebody connects.
        """
        protocol = ControlProtocol()
        protocol.factory = self
        return protocol


class Control(Service):
    """
    See the module.
    """

    _log = Logger()

    def __init__(self, reactor: Any, folder: Path, administration: Administration) -> None:
        self._reactor = reactor
        self._folder = folder
        self._factory = ControlFactory(administration)
        self._port: IListeningPort | None = None
        self._address: _Address | None = None

    def startService(self) -> None:
        """
        Listen.  Nobody else can be there: the state folder is locked.
        """
        super().startService()
        path = self._folder / NAME
        try:
            path.unlink(missing_ok=True)
            self._address = _Address(path)
            self._port = self._reactor.listenUNIX(self._address.text, self._factory, MAX_CLIENTS, 0o600)
        except (OSError, CannotListenError) as error:
            why = getattr(error, "strerror", None) or str(getattr(error, "socketError", error))
            raise StateUnusable(f"the control socket {path} cannot be made: {why}") from None

    def stopService(self) -> Deferred[Any]:
        """
        Listen no more.
        """
        super().stopService()
        for client in list(self._factory.clients):
            client.transport.abortConnection()  # type: ignore[union-attr]
        port, self._port = self._port, None
        address, self._address = self._address, None

        def stopped(result: Any) -> Any:
            if address is not None:
                address.close()
            return result

        return maybeDeferred(port.stopListening if port is not None else lambda: None).addBoth(stopped)


class _Address:
    """
    The address of a socket in a folder, however long its path is.

    @ivar text: It; good until L{close}.
    """

    def __init__(self, path: Path) -> None:
        self.text = str(path)
        self._folder: int | None = None
        if len(os.fsencode(path)) > _MAX_PATH:
            self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.text = f"/proc/self/fd/{self._folder}/{path.name}"

    def close(self) -> None:
        """
        It is not needed any more.
        """
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None


def askNode(folder: Path, task: str, arguments: dict[str, Any]) -> Any:
    """
    Ask the node whose state folder this is.  Blocks.

    @raise NotRunning: It does not run.
    @raise ConfigurationError: It says no.
    """
    line = json.dumps({"task": task, "arguments": arguments}).encode("ascii") + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(TIMEOUT)
        try:
            with closing(_Address(folder / NAME)) as address:
                asking.connect(address.text)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NotRunning("the node does not run") from None
        except OSError as error:
            raise StateUnusable(f"the control socket in {folder} cannot be used: {error.strerror}") from None
        try:
            asking.sendall(line)
            reply = json.loads(asking.makefile("rb").readline())
        except (OSError, ValueError):
            raise StateUnusable("the node does not answer") from None
    if "error" in reply:
        raise ConfigurationError(str(reply["error"]))
    return reply["result"]


class NotRunning(StateUnusable):
    """
    There is no node to ask.
    """
