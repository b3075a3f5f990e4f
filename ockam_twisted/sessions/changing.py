"""
What a session tries may change while it lives: the configuration is another
one.  What is in use stays in use until there is something better, unless who
is at its end must not be there any more.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ockam_twisted.interfaces import IAttempt, IRotation
from ockam_twisted.sessions.life import Established, State
from ockam_twisted.sessions.session import Session

#: What a session says of a way that it leaves.
REASON = "the configuration has changed"


@implementer(IRotation)
class Current:
    """
    The attempt that counts now.

    @ivar attempt: It.
    """

    def __init__(self, attempt: IAttempt) -> None:
        self.attempt = attempt
        self._running: Deferred[Established] | None = None

    def start(self) -> Deferred[Established]:
        """
        See L{IAttempt.start}.
        """
        running = self._running = self.attempt.start()
        return running

    def moveOn(self) -> None:
        """
        See L{IRotation.moveOn}.
        """
        if IRotation.providedBy(self.attempt):
            self.attempt.moveOn()

    def become(self, attempt: IAttempt, session: Session, isDoubted: bool) -> None:
        """
        From now on try something else.

        @param session: Whose attempts these are.
        @param isDoubted: May who is at the end of what is in use be somebody
            who is not accepted any more?  Then it ends now, and is made anew.
        """
        self.attempt = attempt
        established = session.established
        if session.state in (State.TRYING, State.RENEWING) and self._running is not None:
            self._running.cancel()
        if established is not None and isDoubted:
            established.close()
            if not established.lost.called:
                established.lost.callback(REASON)
        elif established is not None:
            session.leave(REASON)
            return
        # What waits tries at once.
        session.networkChanged()
