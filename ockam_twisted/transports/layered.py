"""
Endpoints over other endpoints, whose connections are there once something else has
been said first: a handshake, a question to a proxy.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class LayerProtocol(Protocol):
    """
    What is between: waits until it L{opens <open>}, then hands everything on.
    """

    _behind: Any = None
    _deadline: IDelayedCall | None = None

    def __init__(self, clock: IReactorTime, factory: Any, address: IAddress | None, done: Deferred[Any]) -> None:
        """
        @param factory: Makes the protocol behind it.
        @param done: See L{LayeredEndpoint.layer}.
        """
        self._clock = clock
        self._factory = factory
        self._address = address
        self._done: Deferred[Any] | None = done

    def wait(self, patience: float, error: Exception) -> None:
        """
        Fail with C{error} unless it opens within so many seconds.
        """
        self._deadline = self._clock.callLater(patience, self.fail, error)

    def open(self) -> None:
        """
        What had to be said first is said.
        """
        self._forget()
        transport: Any = self.transport
        if self._done is None:
            transport.abortConnection()
            return
        try:
            behind = self._factory.buildProtocol(self._address)
        except Exception:
            self.fail(Failure())
            return
        if behind is None:
            self.fail(NoProtocol())
            return
        self._behind = behind
        self.__dict__["dataReceived"] = behind.dataReceived
        behind.makeConnection(transport)
        done, self._done = self._done, None
        done.callback(behind)

    def fail(self, error: Any) -> None:
        """
        It will not open.

        @param error: An exception or a C{Failure}.
        """
        done = self._done
        self.giveUp()
        if done is not None:
            done.errback(error)

    def giveUp(self) -> None:
        """
        Nobody waits any more.
        """
        self._done = None
        self._forget()
        transport: Any = self.transport
        transport.abortConnection()

    def _forget(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def whyLost(self, reason: Failure) -> Exception:
        """
        @return: What to say of a connection that was lost before it opened.
        """
        raise NotImplementedError

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        self._forget()
        behind, self._behind = self._behind, None
        done, self._done = self._done, None
        if behind is not None:
            behind.connectionLost(reason)
        elif done is not None:
            done.errback(self.whyLost(reason))


class _Factory(Factory):
    noisy = False

    def __init__(self, endpoint: LayeredEndpoint, behind: Any, done: Deferred[Any]) -> None:
        self._endpoint = endpoint
        self._behind = behind
        self._done = done
        self.made: list[Any] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        made = self._endpoint.layer(self._behind, addr, self._done)
        self.made.append(made)
        return made


@implementer(IStreamClientEndpoint)
class LayeredEndpoint:
    """
    See the module.  A kind of it says what is between, by L{layer}.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        """
        @param endpoint: What it goes over.
        """
        self._endpoint = endpoint

    def layer(self, behind: Any, address: IAddress | None, done: Deferred[Any]) -> Any:
        """
        @param behind: Makes the protocol that waits behind it.
        @param address: Who was connected.
        @param done: To be fired with that protocol, or with why there is none.
        @return: The protocol that is between; its C{giveUp} is called when nobody
            waits any more, and then it does not fire C{done}.
        """
        raise NotImplementedError

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.
        """

        def canceled(_: Deferred[Any]) -> None:
            connecting.cancel()
            for each in factory.made:
                each.giveUp()

        done: Deferred[Any] = Deferred(canceled)
        factory = _Factory(self, protocolFactory, done)
        connecting = self._endpoint.connect(factory)
        # What it fires with still has something to say.
        connecting.addCallbacks(lambda _: None, lambda failure: None if done.called else done.errback(failure))
        return done
