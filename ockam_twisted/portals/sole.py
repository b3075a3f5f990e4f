"""
An inlet with one client, and how that went.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from ockam_twisted.portals.inlet import Inlet, InletSocket
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.opening import Opening
from ockam_twisted.portals.plain import State
from ockam_twisted.wire.extension import ROUTE_LOST, SHUTTING_DOWN, TIMED_OUT, UNREACHABLE

#: Seconds of silence after which a far end that knows no half-close is taken to
#: have said all, once we have.
PLAIN_PATIENCE = 10.0

_FINISHED = "nothing more comes from it"

#: Of a stream that was not opened: nobody said no, but nobody was there.
_NOBODY = (UNREACHABLE, TIMED_OUT, SHUTTING_DOWN, ROUTE_LOST)


class Outcome(Enum):
    """
    How a stream went; the values are exit statuses.
    """

    DONE = 0
    UNREACHABLE = os.EX_UNAVAILABLE
    LOST = os.EX_IOERR
    REFUSED = os.EX_NOPERM


class SoleOpening(Opening):
    """
    The opening of the stream of the only client.
    """

    def __init__(self, inlet: Inlet, local: SoleClient) -> None:
        super().__init__(inlet, local)
        self._client = local

    def _ended(self, stream: InletStream) -> None:
        super()._ended(stream)
        # There may be another one in a moment.
        self._inlet.clock.callLater(0, self._client.look)


class SoleClient(InletSocket):
    """
    The only client of an inlet.

    @ivar over: Fires with how it went and why, once the far end knows all,
        and the client has all.
    @ivar finished: Called when nothing more comes from the far end.
    """

    opening: SoleOpening
    wasOpened = False
    _reason = ""
    _isGone = False

    def __init__(self, inlet: Inlet, label: str, finished: Callable[[], object] = lambda: None) -> None:
        super().__init__(inlet.router, inlet.sockets, label)
        self.over: Deferred[tuple[Outcome, str]] = Deferred()
        self.finished = finished
        self._inlet = inlet
        self.opening = SoleOpening(inlet, self)

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened<ockam_twisted.interfaces.ILocalSide.streamOpened>}.
        """
        self.wasOpened = True
        super().streamOpened()

    def readConnectionLost(self) -> None:
        """
        The client has said all.  What tells a far end without our extension
        ends the whole stream, so that it is heard out first.
        """
        if self.stream.extension is None and self.stream.state is State.OPEN:
            self._isRead = True
            self.source.pauseFor(_FINISHED)
            self._hearOut(self.stream.received)
        else:
            super().readConnectionLost()

    def _hearOut(self, received: int) -> None:
        def look() -> None:
            if self.stream.received > received:
                self._hearOut(self.stream.received)
            elif not self._isGone:
                with self.stream.router.turn:
                    self.stream.disconnect("both sides have said all")
                    self.output.loseConnection()

        self._inlet.clock.callLater(PLAIN_PATIENCE, look)

    def streamFinished(self) -> None:
        """
        See L{ILocalSide.streamFinished<ockam_twisted.interfaces.ILocalSide.streamFinished>}.
        """
        super().streamFinished()
        self.finished()

    def streamEnded(self, reason: str, clean: bool) -> None:
        """
        See L{ILocalSide.streamEnded<ockam_twisted.interfaces.ILocalSide.streamEnded>}.
        """
        self._reason = "" if clean else reason
        super().streamEnded(reason, clean)

    def streamReset(self, reason: str) -> None:
        """
        See L{ILocalSide.streamReset<ockam_twisted.interfaces.ILocalSide.streamReset>}.
        """
        self._reason = reason
        super().streamReset(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client has all, or has gone.
        """
        super().connectionLost(reason)
        self._isGone = True
        self.look()

    def look(self) -> None:
        """
        Is it over?
        """
        if self._isGone and self.stream.state is State.ENDED and not self.over.called:
            self.over.callback(self._outcome())

    def _outcome(self) -> tuple[Outcome, str]:
        result, opening = self.stream.result, self.opening
        if self.wasOpened:
            if result is None and not self._reason:
                return Outcome.DONE, ""
            return Outcome.LOST, self._reason or "it was given up on this side"
        if opening.isGivenUp:
            return (Outcome.REFUSED if opening.isRefused else Outcome.UNREACHABLE), self._reason
        if not self._reason:
            return Outcome.LOST, "the client went away before the stream was open"
        nobody = result is not None and result.code in _NOBODY
        return (Outcome.UNREACHABLE if nobody else Outcome.REFUSED), self._reason


class SoleFactory(Factory):
    """
    Takes the first client, and no other.

    @ivar client: That one.
    @ivar came: Fires with it.
    """

    noisy = False

    def __init__(self, inlet: Inlet, label: str, finished: Callable[[], object] = lambda: None) -> None:
        self.client: SoleClient | None = None
        self.came: Deferred[SoleClient] = Deferred()
        self._make = lambda: SoleClient(inlet, label, finished)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        See C{IProtocolFactory}.
        """
        if self.client is not None:
            return None
        self.client = self._make()
        self.came.callback(self.client)
        return self.client


def serveOne(inlet: Inlet, came: Callable[[SoleClient], object] = lambda client: None) -> Deferred[tuple[Outcome, str]]:
    """
    Have an inlet that does not listen yet take one client, and no other.

    @param came: Told of it.
    @return: Fires with how that went, and why.
    """
    factory = inlet.accepting = SoleFactory(inlet, "the client")

    async def serve() -> tuple[Outcome, str]:
        client = await factory.came
        came(client)
        await inlet.drain()
        return await client.over

    return Deferred.fromCoroutine(serve())
