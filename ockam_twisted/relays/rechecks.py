"""
Who may keep a relay name: what was granted once is asked about again when
something has changed (design, section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from ockam_twisted.interfaces import IRouter
from ockam_twisted.relays.claims import Claim, ClaimReader, Decisions
from ockam_twisted.relays.relay import Relay
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import PeerIdentity

#: Seconds between two looks at all of them.
INTERVAL = 30.0


class Rechecks:
    """
    See the module.
    """

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        claims: ClaimReader,
        decisions: Decisions,
        relays: Mapping[Address, Relay],
        drop: Callable[[Relay], None],
    ) -> None:
        """
        @param relays: The names in use.
        @param drop: Takes a name back.
        """
        self._router = router
        self._claims = claims
        self._decisions = decisions
        self._relays = relays
        self._drop = drop
        self._unwatch: Callable[[], None] = lambda: None
        self._looping = LoopingCall(self.about, lambda claim: True)
        self._looping.clock = clock

    def start(self) -> None:
        """
        Follow changes: what was granted by a credential ends with it.
        """
        if self._looping.running:
            return
        self._unwatch = self._router.peers.watch(self._peerChanged)
        self._looping.start(INTERVAL)

    def stop(self) -> None:
        """
        Follow them no more.
        """
        self._unwatch()
        if self._looping.running:
            self._looping.stop()

    def about(self, isMeant: Callable[[Claim], bool]) -> None:
        """
        Take back the names that who has them may not have any more.
        """
        with self._router.turn:
            for relay in [each for each in self._relays.values() if isMeant(each.claim)]:
                why = self.refusal(relay.claim)
                if why:
                    self._decisions.refused(why, relay.claim.name, relay.claim.peer)
                    self._drop(relay)

    def refusal(self, claim: Claim) -> str:
        """
        Why a registrant may not have its name now; empty if it may.  Where
        its channel is gone, no credential counts.
        """
        if claim.proven is None:
            return self._claims.refusal(None, claim.name)
        gone = PeerIdentity(claim.proven, claim.back[0], claim.hop)
        return self._claims.refusal(self._router.peers.find(claim.back[0]) or gone, claim.name)

    def _peerChanged(self, encryptor: Address) -> None:
        self.about(lambda claim: claim.back[0] == encryptor)
