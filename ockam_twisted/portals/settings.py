"""
What the streams of one node have in common.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from itertools import count
from weakref import WeakValueDictionary

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from ockam_twisted.errors import LimitReached
from ockam_twisted.portals.budgets import PEER_BUDGET, PeerBudget, WindowBudget
from ockam_twisted.portals.early import EarlyStreams
from ockam_twisted.portals.exchange import FEATURES, Exchange
from ockam_twisted.portals.shares import SMALLEST_WINDOW, ChannelShare
from ockam_twisted.portals.windows import LARGEST_WINDOW, ReceiveWindow
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.wire.extension import ID_SIZE
from ockam_twisted.wire.terms import Terms

#: Seconds that a stream waits for another way when its own is lost.
RESUME_TIMEOUT = 60.0


#: Is the peer of a channel still there?
Lives = Callable[[Address], "Deferred[bool]"]


def _isThere(encryptor: Address) -> Deferred[bool]:
    """
    Who cannot ask believes it.
    """
    return succeed(True)


@define
class StreamSettings:
    """
    See the module.

    @ivar clock: Tells how long a round trip takes.
    @ivar instance: Of this process, 16 random bytes.
    @ivar numbers: Of streams whose Ping brings what the client has said.
    @ivar early: Those that were asked for here.
    @ivar features: What is offered and accepted of the portal extension; 0:
        nothing is.
    @ivar largestWindow: What it grows to, bytes.
    @ivar resumeTimeout: Seconds that a stream waits for another way; 0: it
        ends with its way.
    @ivar budget: What all windows share.
    @ivar tells: Is each stream to be logged, also one that is permitted?
    @ivar lives: Asks whether the peer of a channel, named by its encryptor,
        is still there; fires within seconds.
    """

    clock: IReactorTime
    instance: bytes = field(factory=lambda: secrets.token_bytes(ID_SIZE))
    features: int = FEATURES
    largestWindow: int = LARGEST_WINDOW
    resumeTimeout: float = RESUME_TIMEOUT
    budget: WindowBudget = field(factory=WindowBudget)
    lives: Lives = _isThere
    tells: bool = False
    numbers: Iterator[int] = field(factory=lambda: count(1), init=False)
    early: EarlyStreams = field(init=False)
    _budgets: WeakValueDictionary[str, PeerBudget] = field(factory=WeakValueDictionary, init=False)
    _shares: WeakValueDictionary[Address, ChannelShare] = field(factory=WeakValueDictionary, init=False)

    @early.default
    def _noEarly(self) -> EarlyStreams:
        return EarlyStreams(self.instance)

    def terms(self, receiving: ReceiveWindow, stream: bytes) -> Terms:
        """
        What we accept.

        @param receiving: What the far end may send at first.
        @param stream: The name of the stream.
        """
        return Terms(self.features, receiving.granted, self.instance, stream)

    def receiving(self, peer: PeerIdentity) -> ReceiveWindow:
        """
        What a new stream of a peer may send to us.

        @raise LimitReached: Too much is under way already.
        """
        budget, share, now = self.budgetOf(peer.identifier), self.shareOf(peer), self.clock.seconds()
        size = budget.takeFirst(share.first(now))
        if not size:
            raise LimitReached("too much is under way already")
        return ReceiveWindow(size, budget, share, now, self.largestWindow)

    def agree(self, ours: Terms, theirs: Terms, receiving: ReceiveWindow, peer: PeerIdentity) -> Exchange:
        """
        What an offer and its acceptance make.

        @raise LimitReached: Too much is under way already.
        """
        budget = self.budgetOf(peer.identifier)
        if not budget.take(SMALLEST_WINDOW):
            raise LimitReached("too much is under way already")
        return Exchange.agreed(ours, theirs, receiving, budget, self.largestWindow)

    def shareOf(self, peer: PeerIdentity) -> ChannelShare:
        """
        What the windows of one channel share.
        """
        share = self._shares.get(peer.encryptor)
        if share is None:
            share = self._shares[peer.encryptor] = ChannelShare(self.clock.seconds())
        return share

    def budgetOf(self, identifier: str) -> WindowBudget:
        """
        What the windows of one peer share.
        """
        budget = self._budgets.get(identifier)
        if budget is None:
            budget = self._budgets[identifier] = PeerBudget(PEER_BUDGET, self.budget)
        return budget
