"""
What the streams of one node have in common.
"""

from __future__ import annotations

import secrets
from weakref import WeakValueDictionary

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from ockam_twisted.portals.exchange import FEATURES
from ockam_twisted.portals.windows import FIRST_WINDOW, LARGEST_WINDOW, PEER_BUDGET, WindowBudget
from ockam_twisted.wire.extension import ID_SIZE, Terms

#: Seconds that a stream waits for another way when its own is lost.
RESUME_TIMEOUT = 60.0


@define
class StreamSettings:
    """
    See the module.

    @ivar clock: Tells how long a round trip takes.
    @ivar instance: Of this process, 16 random bytes.
    @ivar features: What is offered and accepted of the portal extension; 0:
        nothing is.
    @ivar window: What each direction of a stream begins with, bytes.
    @ivar largestWindow: What it grows to, bytes.
    @ivar resumeTimeout: Seconds that a stream waits for another way; 0: it
        ends with its way.
    @ivar budget: What all windows share.
    """

    clock: IReactorTime
    instance: bytes = field(factory=lambda: secrets.token_bytes(ID_SIZE))
    features: int = FEATURES
    window: int = FIRST_WINDOW
    largestWindow: int = LARGEST_WINDOW
    resumeTimeout: float = RESUME_TIMEOUT
    budget: WindowBudget = field(factory=WindowBudget)
    _budgets: WeakValueDictionary[str, PeerBudget] = field(factory=WeakValueDictionary, init=False)

    def terms(self, stream: bytes | None = None) -> Terms:
        """
        What we offer or accept.

        @param stream: The name of the stream, in an acceptance.
        """
        return Terms(self.features, self.window, self.instance, stream)

    def budgetOf(self, identifier: str) -> WindowBudget:
        """
        What the windows of one peer share.
        """
        budget = self._budgets.get(identifier)
        if budget is None:
            budget = self._budgets[identifier] = PeerBudget(PEER_BUDGET, self.budget)
        return budget


class PeerBudget(WindowBudget):
    """
    Of one peer; forgotten with its last stream.
    """

    __slots__ = ("__weakref__",)
