"""
A stream of an inlet until it is open (spec portals, section 2; design, section
7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ockam_twisted.errors import NotAccepted
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.late import Late
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.refusals import reasonOf
from ockam_twisted.routing.addresses import Route

if TYPE_CHECKING:
    from ockam_twisted.portals.inlet import Inlet

#: Seconds after which the way is asked whether it lives, while Pong is awaited,
#: and after each of which another one is taken if there is a better one then.
ASK_AFTER = 2.0
LOOK_AFTER = 1.0

#: Seconds until a client whose way was lost before Pong is tried again.
_PAUSE = 0.05


class Opening:
    """
    A stream on its way to being open: waits for the way, then for Pong; begins
    anew if the way is lost meanwhile, or if Pong does not come, or the outlet
    is about to stop, and there is another way by then.  If the outlet was told
    what the client has said, that is no new stream, but the same one.

    @ivar take: What the client has said by now, if that may be sent at once.
    @ivar stream: The one that is being opened.
    @ivar isGivenUp: Has it waited for long enough, or was it told that waiting
        is no use?
    @ivar isRefused: Was it told so because the outlet refuses us, or we it?
    """

    stream: InletStream
    isGivenUp = isRefused = False
    take: Callable[[], bytes] | None = None
    _told: bytes | None = None
    _said = b""

    def __init__(self, inlet: Inlet, local: Any) -> None:
        """
        @param local: An L{ILocalSide} that takes the stream as its attribute.
        """
        self._inlet = inlet
        self._local = local
        self._waiting: Deferred[Route] | None = None
        self._deadline: IDelayedCall | None = None
        self._until = 0.0
        self._route: Route | None = None
        self._hasAsked = False
        self._make()

    def _make(self) -> None:
        inlet = self._inlet
        self.stream = self._local.stream = InletStream(inlet.router, self._local, self._ended, settings=inlet.settings)
        self.stream.client, self.stream.early = self._told, self._said
        self.stream.anew = self._again
        self.stream.elsewhere = self._elsewhere
        inlet.streams.add(self.stream)
        inlet.totals.opened += 1

    def start(self, client: bytes | None = None) -> None:
        """
        Begin.  The near end must be able to be reset by now.

        @param client: What the outlet is told of it.
        """
        self._told = self.stream.client = client
        self._until = self._inlet.clock.seconds() + self._inlet.connectTimeout
        self._begin()

    def _again(self) -> None:
        """
        The way was lost.  Whose it is may not know it yet.
        """
        if self.stream.state is State.ENDED:
            self._make()
        self._stopLooking()
        clock = self._inlet.clock
        isLate = clock.seconds() >= self._until
        self._deadline = clock.callLater(_PAUSE, self._timedOut if isLate else self._begin)

    def _elsewhere(self) -> bool:
        """
        The outlet is about to stop: is there another one?
        """
        way = self._inlet.way
        way.suspect("the outlet is about to stop", self._route)
        return way.route not in (None, self._route)

    def _begin(self) -> None:
        inlet = self._inlet
        self._hasAsked = False
        self._look(ASK_AFTER)
        route = inlet.way.route
        if route is not None:
            self._up(route)
        else:
            # It may fire at once.
            self._waiting = waiting = inlet.way.whenUp()
            waiting.addCallback(self._up)
            waiting.addErrback(self._failed)

    def _look(self, delay: float) -> None:
        self._stopLooking()
        clock = self._inlet.clock
        left = self._until - clock.seconds()
        if left > delay:
            self._deadline = clock.callLater(delay, self._unanswered)
        else:
            self._deadline = clock.callLater(max(0.0, left), self._timedOut)

    def _unanswered(self) -> None:
        """
        It takes long: does the way live, or is there a better one?
        """
        self._look(LOOK_AFTER)
        way = self._inlet.way
        if self.stream.state is not State.PINGED:
            return
        if not self._hasAsked:
            self._hasAsked = True
            way.suspect("a new stream gets no answer", self._route)
        elif way.route not in (None, self._route) and self._mayAsk(way.route):
            with self._inlet.router.turn:
                if not self.stream.retract():
                    self.stream.withdraw()
                    self._make()
            self._begin()

    def _mayAsk(self, route: Route) -> bool:
        """
        Who may have been told what the client says is asked once more, and
        nobody else while it lives: it alone knows.
        """
        if self._route is None or not self.stream.isHasty:
            return True
        peers = self._inlet.router.peers
        asked, other = peers.find(self._route[0]), peers.find(route[0])
        return asked is not None and other is not None and asked.identifier == other.identifier

    def opened(self) -> None:
        """
        Pong has arrived.
        """
        self._stopLooking()
        self._said = b""
        self._inlet.learn(self._route, self.stream)
        # The way may have been replaced meanwhile.
        route = self._inlet.way.route
        if route is not None and route is not self._route and self.stream.state is State.OPEN:
            self.stream.resume(route)

    def _stopLooking(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _up(self, route: Route) -> None:
        self._waiting = None
        stream, outlet = self.stream, self._inlet.outletOf(route)
        if stream.state is not State.NEW:
            return
        self._route = route
        with self._inlet.router.turn:
            if outlet is not None and self.take is not None and not self._said:
                stream.early = self._said = self.take()
            if stream.state is State.NEW:
                stream.ping(route, outlet)

    def _failed(self, failure: Failure) -> None:
        self._waiting = None
        if failure.trap(CancelledError, NotAccepted) is NotAccepted:
            self.isRefused = True
            self._giveUp(failure.getErrorMessage())

    def _timedOut(self) -> None:
        if self.stream.state is State.PINGED:
            reason = f"the outlet did not answer within {self._inlet.connectTimeout:.0f} s"
            self._inlet.way.suspect(reason, self._route)
        else:
            reason = self._inlet.way.why or "there is no way to the outlet"
        self._giveUp(reason)

    def _giveUp(self, reason: str) -> None:
        self.isGivenUp = True
        with self._inlet.router.turn:
            self.stream.abandon(reason)
        self._inlet.refused(reason)

    def _ended(self, stream: InletStream) -> None:
        self._inlet.streams.discard(stream)
        self._inlet.totals.ended(stream)
        if stream.isHasty:
            self._inlet.learn(None, stream)
        if stream.result is not None and stream.extension is None:
            self._inlet.refused(f"the outlet says: {reasonOf(stream.result)}")
        self._stopLooking()
        if self._waiting is not None:
            self._waiting.cancel()
        if stream.isAnswerDue and len(self._inlet.late) < self._inlet.maxStreams:
            Late(self._inlet, stream)
