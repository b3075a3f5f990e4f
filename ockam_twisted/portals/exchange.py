"""
Both directions of one stream between two nodes that know the portal
extension: what has been said, what may be said, and when all is said (design,
section 7; C{docs/portal-extension.rst}).

The end of a direction takes one place after its bytes: who has received
C{final + 1} has the Finished too.
"""

from __future__ import annotations

from attrs import define, field, frozen

from ockam_twisted.errors import PortalRefused
from ockam_twisted.portals.budgets import WindowBudget
from ockam_twisted.portals.windows import LARGEST_WINDOW, ReceiveWindow, SendWindow
from ockam_twisted.wire.extension import Credit, Finished
from ockam_twisted.wire.terms import CREDIT, EARLY, HALF_CLOSE, RESET_REASONS, RESUME, Terms

#: What both must know, or the extension is not used.
NEEDED = CREDIT | HALF_CLOSE | RESET_REASONS

#: What is offered.
FEATURES = NEEDED | RESUME | EARLY

#: How many Payloads without a byte a stream may have: they cost no window.
MAX_EMPTY = 100


@frozen
class Offset:
    """
    Where one end is, for a Resume or Resumed.

    @ivar next: The first offset that it lacks.
    @ivar final: Where what it sends ends, if it does.
    """

    next: int
    final: int | None


@define
class Exchange:
    """
    See the module.

    @ivar features: What is in force.
    @ivar final: Where what we send ends, once that is known.
    @ivar isFinalSent: The far end was told.
    @ivar isAcknowledged: The far end has all that we sent, and its end.
    @ivar theirFinal: Where what they send ends, once all of it is here.
    @ivar attempt: The last number of a Resume.
    """

    features: int
    sending: SendWindow
    receiving: ReceiveWindow
    stream: bytes = b""
    final: int | None = field(default=None, init=False)
    isFinalSent: bool = field(default=False, init=False)
    isAcknowledged: bool = field(default=False, init=False)
    theirFinal: int | None = field(default=None, init=False)
    attempt: int = field(default=0, init=False)
    _empty: int = field(default=0, init=False)

    @classmethod
    def agreed(
        cls,
        ours: Terms,
        theirs: Terms,
        receiving: ReceiveWindow,
        budget: WindowBudget,
        largest: int = LARGEST_WINDOW,
    ) -> Exchange:
        """
        What an offer and its acceptance make.

        @param ours: What we sent.
        @param theirs: What they sent.
        @param receiving: Permits what C{ours} does.
        @param budget: Has L{SMALLEST_WINDOW} bytes for what is sent, taken by
            who calls this.
        @param largest: How many bytes are kept at most.
        """
        return cls(
            ours.features & theirs.features,
            SendWindow(theirs.limit, budget, largest),
            receiving,
            ours.stream or theirs.stream or b"",
        )

    @property
    def isResumable(self) -> bool:
        """
        May it go on over another channel?
        """
        return bool(self.features & RESUME)

    @property
    def isDone(self) -> bool:
        """
        Both have all, and both know.
        """
        return self.isAcknowledged and self.theirFinal is not None

    @property
    def offset(self) -> Offset:
        """
        Where we are.
        """
        return Offset(self.receiving.received + (self.theirFinal is not None), self.final)

    # ------------------------------------------------------------- sending

    def finish(self) -> None:
        """
        The near end has written its last byte.
        """
        if self.final is None:
            self.final = self.sending.written

    def dueFinished(self) -> Finished | None:
        """
        @return: What is to be sent once all bytes are.
        """
        if self.final is None or self.isFinalSent or not self.sending.isIdle:
            return None
        self.isFinalSent = True
        return Finished(self.final)

    def credit(self, delivered: int, now: float) -> Credit:
        """
        What is to be sent when the near end has taken so many bytes.
        """
        receiving = self.receiving
        if self.theirFinal is not None:
            return Credit(receiving.received + 1, receiving.granted)
        return Credit(receiving.received, receiving.grant(delivered, now))

    # ----------------------------------------------------------- receiving

    def payloadReceived(self, size: int) -> None:
        """
        Bytes have come.

        @raise PortalRefused: They may not.
        """
        if self.theirFinal is not None:
            raise PortalRefused("it sends after its end")
        if not size:
            self._empty += 1
            if self._empty > MAX_EMPTY:
                raise PortalRefused("it sends too many Payloads without a byte")
        self.receiving.accept(size)

    def creditReceived(self, credit: Credit) -> None:
        """
        @raise PortalRefused: It cannot be right.
        """
        received = credit.received
        if self.isFinalSent and received == (self.final or 0) + 1:
            self.isAcknowledged = True
        self.sending.credit(received - self.isAcknowledged, credit.limit)

    def finishedReceived(self, finished: Finished) -> None:
        """
        @raise PortalRefused: It cannot be right.
        """
        if self.theirFinal is not None or finished.final != self.receiving.received:
            raise PortalRefused(f"it ends at {finished.final}, after {self.receiving.received} bytes")
        self.theirFinal = finished.final

    def resumed(self, following: int) -> None:
        """
        The far end goes on at C{following}: what was sent and is not there is
        sent again.

        @raise PortalRefused: It cannot be right.
        """
        isAcknowledged = self.isAcknowledged or (self.isFinalSent and following == (self.final or 0) + 1)
        self.sending.rewind(following - isAcknowledged)
        self.isAcknowledged = isAcknowledged
        self.isFinalSent = isAcknowledged

    def close(self) -> None:
        """
        Keep nothing.
        """
        self.sending.close()
        self.receiving.close()
