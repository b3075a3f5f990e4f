"""
What is known of the peer of a channel, for as long as it holds: credentials
expire, and are presented anew (spec identity, sections 5.4 and 6.11).
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.logger import Logger

from ockam_twisted.channels.pace import Pace
from ockam_twisted.channels.party import Party
from ockam_twisted.errors import RecordRefused
from ockam_twisted.identity.credentials import VerifiedCredential
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IRouter
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.wire.channel import ChannelRefresh

#: How often a peer may present something, at once and then in a second: a long
#: history takes 10 ms to verify.
BURST = 8
RATE = 1.0

#: Verifies what a peer presents anew; may raise an
#: L{ockam_twisted.errors.OckamError}.
Verify = Callable[[Identifier, ChannelRefresh], "VerifiedCredential | None"]


def _nothing() -> None:
    """
    Cancels what is not waited for.
    """


class Standing:
    """
    See the module.

    @ivar info: What messages of the peer carry.
    @ivar credential: What an authority of ours says of it, as it has
        presented it last.
    @ivar changed: Called when C{info} is another.
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        info: PeerIdentity,
        credential: VerifiedCredential | None,
        party: Party | None,
    ) -> None:
        """
        @param party: Verifies what is presented anew, and knows the calendar.
        """
        self.info = info
        self.credential: VerifiedCredential | None = None
        self.changed: Callable[[], None] = _nothing
        self._router = router
        self._verify: Verify | None = None if party is None else party.refreshed
        self._until = None if party is None else party.until
        self._now = None if party is None else party.now
        self._pace = Pace(BURST, RATE)
        self._cancel: Callable[[], None] = _nothing
        self._take(credential)
        router.peers.add(self.info)

    def presented(self, message: ChannelRefresh) -> None:
        """
        The peer has presented something anew.

        @raise OckamError: It proves nothing, or comes too soon; what it had
            presented before still counts.
        """
        if self._verify is None or self._now is None:
            return
        if not self._pace.permits("", self._now()):
            raise RecordRefused("it presents its credentials too often")
        self._replace(self._verify(Identifier(self.info.identifier), message))

    def _replace(self, credential: VerifiedCredential | None) -> None:
        self._take(credential)
        self.changed()
        self._router.peers.update(self.info)

    def _take(self, credential: VerifiedCredential | None) -> None:
        self._cancel()
        self._cancel = _nothing
        self.credential = credential
        if credential is None:
            self.info = evolve(self.info, attributes=None, authority="")
            return
        self.info = evolve(self.info, attributes=credential.attributes, authority=str(credential.authority))
        if self._until is not None:
            self._cancel = self._until(credential.expiresAt, self._expired)

    def _expired(self) -> None:
        self._log.info(
            "The credential of {peer} has expired", peer=self.info.identifier, audit="ended", event="credential-expired"
        )
        with self._router.turn:
            self._replace(None)

    def end(self) -> None:
        """
        The channel is over.
        """
        self._cancel()
        self._cancel = _nothing
        self._router.peers.remove(self.info.encryptor)
