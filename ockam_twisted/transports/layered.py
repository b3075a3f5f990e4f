"""
Endpoints over other endpoints, whose connections are there once something else has
been said first: a handshake, a question to a proxy.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer


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
