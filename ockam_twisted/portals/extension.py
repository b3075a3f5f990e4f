"""
A stream between two nodes that both know the portal extension: windows,
half-close, reasons, and going on over another way (design, section 7;
C{docs/portal-extension.rst}).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from ockam_twisted.errors import PortalRefused
from ockam_twisted.interfaces import Buffer, IOutput
from ockam_twisted.portals.acknowledgement import Acknowledgement
from ockam_twisted.portals.exchange import Exchange
from ockam_twisted.portals.patience import Patience
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.source import Source
from ockam_twisted.wire.extension import (
    PROTOCOL_ERROR,
    RESET_BY_PEER,
    ROUTE_LOST,
    Credit,
    Finished,
    Reset,
    Resume,
    Resumed,
    decodeExtension,
    encodeExtension,
)
from ockam_twisted.wire.portal import DISCONNECT, portalPayloadHead

if TYPE_CHECKING:
    from ockam_twisted.portals.stream import PortalStream

#: What leaves in one turn of what waited, bytes.
_BATCH = 256 * 1024


def _nothing() -> None:
    """Pauses what only goes on when it is told to."""


class Extension:
    """
    What a stream has besides, once both ends have agreed.

    @ivar exchange: What was said.
    @ivar isConfirmed: The far end has used the extension: we may.
    @ivar isAnswered: It has said something since we have agreed.
    @ivar instance: Of the process at the far end.
    """

    isAnswered = False

    def __init__(
        self, stream: PortalStream, settings: StreamSettings, exchange: Exchange, instance: bytes, isConfirmed: bool
    ) -> None:
        self.exchange = exchange
        self.isConfirmed = isConfirmed
        self.instance = instance
        self._stream = stream
        self._settings = settings
        self._clock = settings.clock
        self._local = stream.local
        self._output: IOutput = self._local.output
        # Made when something has had to wait.
        self._feeder: Source | None = None
        self._waking: IDelayedCall | None = None
        self._isPumpDue = False
        self._patience = Patience(self._clock, exchange, self._outOfPatience)
        self._acknowledgement = Acknowledgement(self._clock, self._acknowledge)
        self._reset: Reset | None = None
        self._isGone = False
        if isConfirmed:
            self._confirm()

    def _confirm(self) -> None:
        """
        The far end knows, too: from now on it is held to its window.
        """
        self.isConfirmed = True
        self._output.watchProgress(self.exchange.receiving.mark, self._delivered)

    @property
    def _isOpen(self) -> bool:
        return self._stream.state is State.OPEN

    @property
    def isResumable(self) -> bool:
        """Does it outlive its way?"""
        return self.exchange.isResumable and self._settings.resumeTimeout > 0

    # ------------------------------------------------------------- sending

    def write(self, data: Buffer) -> bool:
        """
        The near end gives bytes.

        @return: Send them as they are; otherwise they wait, and the near end
            is paused.
        """
        if self.exchange.sending.write(data):
            return True
        self._local.source.pauseFor(self)
        self._pumpAfterwards()
        return False

    def _say(self, message: Credit | Finished | Reset | Resumed) -> None:
        self._stream.emit((data := encodeExtension(message),), len(data))

    def finish(self) -> None:
        """
        The near end has written its last byte.
        """
        self.exchange.finish()
        self._finishIfDue()

    def _finishIfDue(self) -> None:
        # Asked after each Credit, and seldom due.
        if self.exchange.final is not None and self.isConfirmed and self._isOpen:
            finished = self.exchange.dueFinished()
            if finished is not None:
                # One record has both.
                if self._acknowledgement.isEndDue:
                    self.sayCredit()
                self._say(finished)

    def gone(self) -> None:
        """
        Nobody is left at the near end.
        """
        self.finish()
        if not self._isGone and self.exchange.theirFinal is None:
            self._isGone = True
            self._patience.linger()

    def _outOfPatience(self, code: int, reason: str) -> None:
        with self._stream.router.turn:
            self.reset(code, reason)

    def surrender(self) -> list[Buffer]:
        """
        The far end does not know the extension after all.

        @return: What is still to be sent.
        """
        rest = self.exchange.sending.rest()
        self.close()
        self._local.source.resumeFor(self)
        return rest

    def _wake(self) -> None:
        """
        Send, in a turn of our own, what waits, when the reactor comes around.
        """
        if self._waking is None and self._isOpen:
            self._waking = self._clock.callLater(0, self._pump)

    def _pumpAfterwards(self) -> None:
        """The same as soon as this turn is over."""
        if self._waking is None and not self._isPumpDue and self.exchange.sending.hasRoom:
            self._isPumpDue = True
            self._stream.router.turn.afterwards(self._pump)

    def _pump(self) -> None:
        self._waking = None
        self._isPumpDue = False
        sending = self.exchange.sending
        left = _BATCH
        turn = self._stream.router.turn
        feeder = self._feeder = self._feeder or Source(_nothing, self._wake, None, lambda: False, _nothing)
        turn.enter(feeder)
        try:
            while left > 0 and self._isOpen and not feeder.pauses:
                piece = sending.take()
                if piece is None:
                    break
                size = len(piece)
                left -= size
                head = portalPayloadHead(size)
                self._stream.emit((head, piece), len(head) + size)
            if sending.isIdle:
                self._finishIfDue()
        finally:
            turn.leave()
        if left <= 0 and not feeder.pauses:
            self._wake()
        if sending.isIdle and self._isOpen:
            self._local.source.resumeFor(self)

    def _delivered(self) -> None:
        """
        The near end has taken so much that the far end should hear of it.
        """
        credit = self.exchange.credit(self._output.sent, self._clock.seconds())
        self._acknowledgement.said(self.exchange.receiving.received)
        self._output.mark = self.exchange.receiving.mark
        if self.isConfirmed and self._isOpen:
            self._say(credit)

    def sayCredit(self) -> None:
        """Tell the far end where we are."""
        self._delivered()

    # ----------------------------------------------------------- receiving

    def payloadReceived(self, size: int) -> None:
        """
        Bytes have come, and are the near end's next.

        @raise PortalRefused: They may not.
        """
        self.isAnswered = True
        if self._isGone:
            self.reset(RESET_BY_PEER, "nobody is there any more")
        else:
            self.exchange.payloadReceived(size)
            self._acknowledgement.bytesReceived(self.exchange.receiving.received)

    def _acknowledge(self) -> None:
        with self._stream.router.turn:
            self._delivered()

    def messageReceived(self, data: Buffer) -> None:
        """
        A message of the extension has come.

        @raise DecodeError: It is none.
        @raise PortalRefused: It cannot be right.
        """
        message = decodeExtension(data)
        self.isAnswered = True
        exchange = self.exchange
        if isinstance(message, Credit):
            if not self.isConfirmed:
                exchange.receiving.answered(self._clock.seconds())
                self._confirm()
            exchange.creditReceived(message)
            if not exchange.sending.isIdle:
                self._pumpAfterwards()
            else:
                self._finishIfDue()
        elif isinstance(message, Finished):
            exchange.finishedReceived(message)
            if exchange.isFinalSent:
                self.sayCredit()
            else:
                # The near end ends mostly at once, too.
                self._acknowledgement.endReceived()
            if not self._isGone:
                self._local.streamFinished()
        elif isinstance(message, Reset):
            self._stream.ended(message)
            return
        else:
            raise PortalRefused("a message comes out of place")
        self._endIfDone()

    def _endIfDone(self) -> None:
        if self.exchange.isDone:
            self._stream.ended(None)

    def refuse(self, error: Exception) -> None:
        """The far end has made a mistake."""
        self.reset(PROTOCOL_ERROR, str(error))

    def reset(self, code: int, reason: str) -> None:
        """
        End the stream, and tell the far end why.
        """
        reset = Reset(code, self.exchange.sending.reached, reason)
        if self._isOpen and self.isConfirmed:
            self._say(reset)
        elif self._isOpen:
            self._stream.emit((DISCONNECT,), 1)
        elif self._stream.isInlet and self._reset is None and code != ROUTE_LOST:
            # The far end will be told when there is a way again.
            self._reset = reset
            self._local.streamEnded(reason, False)
            return
        self._stream.ended(reset, reason)

    # ------------------------------------------------------------ resuming

    def detach(self) -> None:
        """
        The way is lost; another one may come.
        """
        self.exchange.sending.suspend()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        self._local.source.pauseFor(self)
        self._patience.expect(self._settings.resumeTimeout)

    def askToResume(self) -> bytes:
        """
        What the inlet sends to the outlet over another way.
        """
        exchange = self.exchange
        exchange.sending.suspend()
        exchange.attempt += 1
        self._patience.expect(self._settings.resumeTimeout)
        at = exchange.offset
        return encodeExtension(Resume(exchange.stream, exchange.attempt, at.next, at.final))

    def resumeReceived(self, resume: Resume) -> None:
        """
        The inlet goes on over another way.  Outlet only.

        @raise PortalRefused: It cannot be right; nothing has changed.
        """
        self.exchange.resumed(resume.next)
        self.exchange.attempt = resume.attempt
        self.isAnswered = True
        if not self.isConfirmed:
            self._confirm()

    def resumed(self) -> None:
        """
        It goes on over another way.  Outlet only.
        """
        at = self.exchange.offset
        self._say(Resumed(at.next, at.final))
        self._goOn()

    def askedAgain(self, limit: int) -> None:
        """
        The inlet has had no answer, and has asked once more: it has one now,
        and gets all from the beginning.  Outlet only.

        @param limit: What it permits at first.
        @raise PortalRefused: It cannot be right.
        """
        self.exchange.sending.limit = limit
        self.exchange.resumed(0)
        self._settle()
        self._wake()

    def wentOn(self) -> None:
        """
        It goes on over another way.  Inlet only.
        """
        if self._reset is not None:
            self._say(self._reset)
            self._stream.ended(self._reset)
        else:
            self._goOn()

    def _settle(self) -> None:
        """
        There is another way, over another channel.
        """
        peer = self._stream.peer
        if peer is not None:
            self.exchange.receiving.moved(self._settings.shareOf(peer), self._clock.seconds())
        self._patience.close()
        if self._isGone:
            self._patience.linger()
        # Nor does it wait for connections that it does not use any more.
        for source in (self._local.source, self._feeder):
            if source is not None:
                source.moved()

    def _goOn(self) -> None:
        self._settle()
        self.sayCredit()
        self._wake()
        self._endIfDone()

    def close(self) -> None:
        """
        It is over.
        """
        self._acknowledgement.close()
        self._patience.close()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        # What waits there may still be taken: nobody is to hear of it.
        self._output.mark = sys.maxsize
        self.exchange.close()
