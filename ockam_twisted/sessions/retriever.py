"""
Our own credential: fetched from an authority, kept, fetched again at half of
its life, and presented over the channels there are (spec identity, sections
5.5 and 6.11).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.channels.party import Party
from ockam_twisted.errors import (
    DecodeError,
    EnrollmentRefused,
    IdentityRefused,
    LocalProtocolError,
    OckamError,
    RemoteProtocolError,
    RequestFailed,
)
from ockam_twisted.identity.credentials import CredentialAndPurposeKey, VerifiedCredential
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IIdentityStore
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Walk
from ockam_twisted.sessions.enrolment import enrol, fetchCredential
from ockam_twisted.sessions.failures import NETWORK_ERRORS, reasonOf
from ockam_twisted.sessions.session import ATTEMPT_TIMEOUT
from ockam_twisted.wire import cbor

#: Where it is kept.
SETTING = "credential"

#: Where it is kept which authority a ticket has named.
AUTHORITY = "authority"

#: Seconds between attempts: at first, and at most.
FIRST_DELAY, MAX_DELAY = 1.0, 30.0


def redeemedSetting(digest: bytes) -> str:
    """
    Where it is kept that a ticket has been redeemed.
    """
    return f"redeemed-ticket:{digest.hex()}"


def encodePin(authority: Identifier, ways: Sequence[MultiAddr]) -> bytes:
    """
    Who the authority is and where, as it is kept.
    """
    return cbor.encode((authority.digest, [way.bytes for way in ways]))


def decodePin(data: bytes | None) -> tuple[Identifier, tuple[MultiAddr, ...]] | None:
    """
    What L{encodePin} has made; L{None} for anything else.
    """
    try:
        if data is None:
            return None
        digest, ways = cbor.decode(data)
        return Identifier.fromDigest(bytes(digest)), tuple(MultiAddr.fromBytes(way) for way in ways)
    except (DecodeError, LocalProtocolError, TypeError, ValueError, AttributeError):
        return None


class CredentialRetriever(Service):
    """
    See the module.  It also learns the authority's change history, without
    which nobody's credentials can be verified.
    """

    _log = Logger()

    def __init__(
        self,
        walk: Walk,
        party: Party,
        store: IIdentityStore,
        authority: Identifier,
        ways: Sequence[MultiAddr],
        code: bytes | None = None,
        redeemed: Callable[[], Deferred[None]] | None = None,
        setting: str = SETTING,
    ) -> None:
        """
        @param ways: To the authority's listener, at least one; tried in turn.
        @param code: Presented first, to become a member.
        @param redeemed: Notes that the code has been accepted.
        @param setting: Where the credential is kept.
        """
        self.authority = authority
        self._walk = walk
        self._party = party
        self._store = store
        self._ways = tuple(ways)
        self._code = code
        self._redeemed = redeemed
        self._setting = setting
        self._running: Deferred[float] | None = None
        self._began = 0.0
        self._next: IDelayedCall | None = None
        self._delay = FIRST_DELAY
        self._number = 0
        self._hasTried = False
        self._why = ""
        self._refused: EnrollmentRefused | None = None
        self._waiting: list[Deferred[None]] = []
        self._cancelExpiry: Callable[[], None] = lambda: None

    @property
    def why(self) -> str:
        """
        Why there is no credential, or no newer one; empty if there is.
        """
        return self._why

    def startService(self) -> None:
        """
        Use what is kept, and go on from there.
        """
        super().startService()
        self._learnHistory()
        stored = self._store.setting(self._setting)
        if stored is not None:
            try:
                both = CredentialAndPurposeKey.decode(stored)
                verified = self._verify(both)
            except RemoteProtocolError:
                pass
            else:
                self._present(both, verified)
                self.tell()
                if self._code is None:
                    now = self._party.now()
                    self._again(max(0.0, (verified.createdAt + verified.expiresAt) / 2 - now))
                    return
        self._again(0.0)

    def stopService(self) -> None:
        """
        Stop.
        """
        super().stopService()
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._running is not None:
            self._running.cancel()
        self._cancelExpiry()

    def whenTried(self) -> Deferred[None]:
        """
        @return: Fires once there is a credential, or a first attempt to get
            one has failed.
        """
        waiting: Deferred[None] = Deferred(self._waiting_cancel)
        if self._party.credential or self._hasTried:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def _waiting_cancel(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def expire(self) -> None:
        """
        The clock cannot be trusted: fetch another.
        """
        self._party.credential = b""
        self._store.deleteSetting(self._setting).addErrback(
            lambda failure: self._log.failure(
                "A credential that counts no more was not deleted", failure, event="credential-not-deleted"
            )
        )
        if self._next is not None and self._next.active():
            self._next.reset(0)

    # ------------------------------------------------------------ attempts

    def _again(self, delay: float) -> None:
        clock: Any = self._walk.clock
        self._next = clock.callLater(delay, self._start)

    def _start(self) -> None:
        clock: Any = self._walk.clock
        self._began = clock.seconds()
        running = self._running = Deferred.fromCoroutine(self._attempt())
        # An authority that is away may be waited for at a relay, for ever.
        running.addTimeout(ATTEMPT_TIMEOUT, clock)
        running.addErrback(self._failed)
        running.addCallback(self._ended)

    def _ended(self, delay: float) -> None:
        if self.running:
            self._again(delay)
            self.tell()

    async def _attempt(self) -> float:
        """
        @return: Seconds until the next one.
        """
        way = self._ways[self._number % len(self._ways)]
        self._number += 1
        try:
            if self._code is not None:
                await self._enrol(way, self._code)
            both = await fetchCredential(self._walk, way, self.authority)
        finally:
            self._learnHistory()
        verified = self._verify(both)
        await self._store.storeSetting(self._setting, both.encode())
        self._delay = FIRST_DELAY
        if self._why or self._number == 1:
            self._log.info(
                "{authority} attests who we are",
                authority=str(self.authority),
                event="credential-received",
                audit="allowed",
            )
        self._why = ""
        self._present(both, verified)
        return max(1.0, (verified.expiresAt - verified.createdAt) / 2)

    async def _enrol(self, way: MultiAddr, code: bytes) -> None:
        try:
            await enrol(self._walk, way, self.authority, code)
        except EnrollmentRefused as error:
            # Asking again would be guessing; but we may be a member already.
            self._code, self._refused = None, error
            return
        self._code = None
        if self._redeemed is not None:
            await self._redeemed()

    def tell(self) -> None:
        """
        Let those go on who wait.
        """
        self._hasTried = True
        while self._waiting:
            # One of them may cancel another one.
            self._waiting.pop(0).callback(None)

    def _failed(self, failure: Failure) -> float:
        """
        Whatever it was, it is tried again.

        @return: Seconds until then.
        """
        if not self.running:
            # It was canceled.
            return 0.0
        error, why = failure.value, reasonOf(failure, ATTEMPT_TIMEOUT)
        if isinstance(error, RequestFailed) and error.status == 403:
            why = f"{self._party.identity.identifier} is no member there"
            if self._refused is not None:
                why = str(self._refused)
        if why != self._why:
            if not failure.check(OckamError, DeferredTimeout, *NETWORK_ERRORS):
                self._log.failure("No credential", failure, event="credential-failed")
            self._log.warn(
                "No credential of {authority}: {reason}",
                authority=str(self.authority),
                reason=why,
                event="credential-missing",
            )
        self._why = why
        delay, self._delay = self._delay * random.uniform(0.75, 1.25), min(MAX_DELAY, self._delay * 2)
        # What it has taken counts: it may have waited at a relay.
        return max(FIRST_DELAY, delay - max(0.0, self._walk.clock.seconds() - self._began))

    # ------------------------------------------------------------- results

    def _learnHistory(self) -> None:
        known = self._store.changeHistory(self.authority)
        if known is not None:
            history = ChangeHistory.fromBytes(known)
            self._party.authorities[self.authority] = history

    def _verify(self, both: CredentialAndPurposeKey) -> VerifiedCredential:
        history = self._party.authorities.get(self.authority)
        if history is None:
            raise IdentityRefused("the change history of the authority is not known")
        party = self._party
        return both.verify({self.authority: history}, party.now(), party.identity.identifier)

    def _present(self, both: CredentialAndPurposeKey, verified: VerifiedCredential) -> None:
        self._party.present(both.encode())
        self._cancelExpiry()
        self._cancelExpiry = self._party.until(verified.expiresAt, self._expired)

    def _expired(self) -> None:
        # An expired one would only be refused, with a line in somebody's log.
        self._party.credential = b""
