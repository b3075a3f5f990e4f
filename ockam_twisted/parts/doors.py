"""
Places where connections are accepted, whoever takes them: a part that takes
the place of another one has its port without a moment in which nobody
listens.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import StateUnusable
from ockam_twisted.places import serverEndpoint


@implementer(IListeningPort)
class Tenancy:
    """
    What who takes the connections of a door has of it.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    def startListening(self) -> None:
        """
        It does already.
        """

    def stopListening(self) -> Deferred[None]:
        """
        Close the door, unless somebody else has it now.
        """
        return self._door.close() if self._door.tenancy is self else succeed(None)

    def getHost(self) -> Any:
        """
        Where it is.
        """
        return self._door.getHost()


@implementer(IStreamServerEndpoint)
class Door(Factory):
    """
    See the module.  It accepts nobody before somebody listens here.

    @ivar text: Its endpoint string.
    @ivar tenancy: Of who takes its connections.
    @ivar codec: Of these, once it is open, if they keep messages: see
        L{ockam_twisted.transports.service}.
    """

    noisy = False
    _log = Logger()

    def __init__(self, reactor: Any, text: str) -> None:
        """
        @param reactor: Whose sockets these are.
        """
        self.text = text
        self.tenancy: Tenancy | None = None
        self.codec: Any = None
        self._reactor = reactor
        self._taker: IProtocolFactory | None = None
        self._port: IListeningPort | None = None
        self._isClosed = False

    def open(self) -> Deferred[None]:
        """
        Bind.

        @return: Fires once that is done; fails with L{StateUnusable}.
        """

        def listening(port: IListeningPort) -> None:
            self._port = port
            if self._isClosed:
                self.close()
                return
            at: Any = port.getHost()
            where = f"{at.host}:{at.port}" if hasattr(at, "port") else str(at)
            self._log.info("Listening on {where}", where=where, event="listening")

        def failed(failure: Failure) -> Failure:
            value = failure.value
            error = value.socketError if isinstance(value, CannotListenError) else value
            why = getattr(error, "strerror", None) or error
            return Failure(StateUnusable(f"cannot listen on {self.text}: {why}"))

        endpoint = serverEndpoint(self._reactor, self.text)
        self.codec = getattr(endpoint, "codec", None)
        return endpoint.listen(self).addCallbacks(listening, failed)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Somebody connects.
        """
        return None if self._taker is None else self._taker.buildProtocol(addr)  # type: ignore[arg-type]

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Take the connections from now on, whoever did before.
        """
        self._taker = protocolFactory
        self.tenancy = Tenancy(self)
        return succeed(self.tenancy)

    def getHost(self) -> Any:
        """
        Where it is.
        """
        return None if self._port is None else self._port.getHost()

    @property
    def isOpen(self) -> bool:
        """
        Does it listen?
        """
        return self._port is not None

    def unbind(self) -> Deferred[None]:
        """
        Give up the port, perhaps only until L{open}.
        """
        port: Any = self._port
        self._port = None
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def close(self) -> Deferred[None]:
        """
        Listen no more.
        """
        self._isClosed = True
        self._taker = self.tenancy = None
        return self.unbind()
