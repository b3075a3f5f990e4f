"""
Who makes secure channels: the listener answers handshakes, the initiator
begins them (spec identity, section 6.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.crowd import crowd
from ockam_twisted.channels.handshake import initiate, respond
from ockam_twisted.channels.noise import Keys
from ockam_twisted.channels.pace import Pace
from ockam_twisted.channels.party import Party
from ockam_twisted.errors import IdentityRefused, OckamError, PeerNotTrusted, TimedOut
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.payload import VerifiedPeer
from ockam_twisted.identity.trust import isForAnybody
from ockam_twisted.interfaces import IRouter, ITrustPolicy, IWorker
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.flow import newFlowId
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.channel import REFUSED

#: Seconds a handshake may take.
HANDSHAKE_TIMEOUT = 10.0

#: Seconds that a channel for enrolment lives.
ENROLMENT_TIMEOUT = 10.0

_log = Logger()


def createSecureChannel(
    router: IRouter,
    clock: IReactorTime,
    party: Party,
    route: Route,
    trust: ITrustPolicy,
    timeout: float = HANDSHAKE_TIMEOUT,
    ordered: bool = True,
) -> Deferred[SecureChannel]:
    """
    Make a secure channel to the listener at the end of C{route}.

    @param trust: Whom we accept there.
    @param ordered: See L{SecureChannel}.
    @return: Fires with the channel; fails with L{TimedOut},
        L{ockam_twisted.errors.HandshakeFailed} or
        L{ockam_twisted.errors.IdentityRefused}.
    """

    def make(remote: Address, road: Route, peer: VerifiedPeer, keys: Keys) -> SecureChannel:
        return SecureChannel(
            router,
            remote,
            road,
            peer.identifier,
            keys,
            isInitiator=True,
            ordered=ordered,
            credential=peer.credential,
            party=party,
        )

    result = Deferred.fromCoroutine(initiate(router, party, route, trust, make))
    result.addTimeout(timeout, clock)

    def explain(failure: Failure) -> Failure:
        if failure.check(DeferredTimeout):
            return Failure(TimedOut(f"no answer to a handshake within {timeout:.0f} s from {route[-1]}"))
        if failure.check(PeerNotTrusted, IdentityRefused):
            # Whoever wanted the channel says so; this is for the audit log.
            _log.debug(
                "Who is at the end of {way} was refused: {reason}",
                peer=getattr(failure.value, "identifier", ""),
                reason=printable(failure.getErrorMessage()),
                way=printable(str(route)),
                event="peer-refused",
                audit="refused",
            )
        return failure

    def made(channel: SecureChannel) -> SecureChannel:
        _log.debug(
            "{peer} is at the end of {way}",
            peer=channel.peerIdentifier,
            way=printable(str(route)),
            event="peer-accepted",
            audit="allowed",
        )
        return channel

    return result.addCallbacks(made, explain)


#: Seconds between two lines about handshakes that come too fast.
WARNING_INTERVAL = 10.0


@implementer(IWorker)
class SecureChannelListener(Service):
    """
    Answers handshakes at one or more addresses.

    @ivar flowId: The flow-control id that its channels are spawned under.
    @ivar enrolmentFlowId: That of channels of those who may only enrol.
    @ivar channels: The channels there are, each with how many records had
        been heard of it when it was last looked at.
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        party: Party,
        trust: ITrustPolicy,
        addresses: tuple[Address, ...],
        ordered: bool = True,
        timeout: float = HANDSHAKE_TIMEOUT,
        maxUnfinished: int = 256,
        maxUnfinishedPerSource: int = 32,
        maxChannels: int = 4096,
        enrolment: ITrustPolicy | None = None,
        enrolmentWorkers: tuple[Address, ...] = (),
    ) -> None:
        """
        @param trust: Whom it accepts.
        @param timeout: Seconds a handshake may take.
        @param maxUnfinished: Handshakes in flight; over it, the oldest one of
            the connection with most of them is given up.
        @param maxUnfinishedPerSource: The same, for each connection and what
            is behind it.
        @param maxChannels: How many channels there may be; over it, of the
            connection with most of them one that has been silent for long is
            closed.
        @param enrolment: Who may have a channel that reaches nothing but the
            consumers of L{enrolmentFlowId}, and ends soon.
        @param enrolmentWorkers: The only addresses that may be tried then.
        """
        self.flowId = newFlowId()
        self.enrolmentFlowId = newFlowId()
        self._enrolment = enrolment
        self._enrolmentWorkers = frozenset(enrolmentWorkers)
        self._enrolling: dict[SecureChannel, IDelayedCall] = {}
        self._unwatch: Callable[[], None] | None = None
        self.channels: dict[SecureChannel, int] = {}
        self._router = router
        self._clock = clock
        self._party = party
        self._trust = trust
        self._addresses = addresses
        self._ordered = ordered
        self._timeout = timeout
        self._maxUnfinished = maxUnfinished
        self._maxUnfinishedPerSource = maxUnfinishedPerSource
        self._maxChannels = maxChannels
        self._pace = Pace()
        self._warnedAt = float("-inf")
        # In the order they began.
        self._unfinished: dict[Deferred[SecureChannel], Route] = {}

    def startService(self) -> None:
        """
        Answer from now on.
        """
        super().startService()
        for address in self._addresses:
            self._router.register(address, self)
            self._router.flowControls.addSpawner(address, self.flowId)
        self._unwatch = self._router.peers.watch(self._peerChanged)

    def stopService(self) -> None:
        """
        Close every channel.
        """
        super().stopService()
        for address in self._addresses:
            self._router.unregister(address)
        if self._unwatch is not None:
            self._unwatch()
        for unfinished in list(self._unfinished):
            unfinished.cancel()
        with self._router.turn:
            for channel in [*self.channels, *self._enrolling]:
                channel.close()

    def messageReceived(self, message: LocalMessage) -> None:
        """
        Message 1 of a handshake.  See L{IWorker.messageReceived}.
        """
        if not message.return_route:
            return
        # The last address is the initiator's own, and new each time; behind a
        # relay, the second one tells its clients apart.
        source = Route(message.return_route[:-1][:2]) or Route(message.return_route)
        if not self._pace.permits(source, self._clock.seconds()):
            self._tooMany(source)
            return
        ofSource = [each for each, its in self._unfinished.items() if its == source]
        if len(ofSource) >= self._maxUnfinishedPerSource:
            ofSource[0].cancel()
        elif len(self._unfinished) >= self._maxUnfinished:
            self._busiest().cancel()
        result = Deferred.fromCoroutine(
            respond(self._router, self._party, message, self._trust, self._make, self._enrolment)
        )
        self._unfinished[result] = source
        result.addTimeout(self._timeout, self._clock)
        result.addBoth(self._finished, result)
        result.addCallbacks(self._opened, self._failed, callbackArgs=(source,), errbackArgs=(source,))

    def _tooMany(self, source: Route) -> None:
        now = self._clock.seconds()
        if now - self._warnedAt >= WARNING_INTERVAL:
            self._warnedAt = now
            self._log.warn(
                "Dropping handshakes that come too fast, the first one from {source}",
                source=printable(str(source)),
                event="handshakes-too-fast",
            )

    def _make(self, remote: Address, road: Route, peer: VerifiedPeer, keys: Keys) -> SecureChannel:
        # Much may have happened since it was verified: a disk was waited for.
        isAccepted = self._party.accepts(self._trust, peer)
        if not isAccepted and not (self._enrolment is not None and self._party.accepts(self._enrolment, peer)):
            raise PeerNotTrusted(f"the peer {peer.identifier} is not trusted here any more", str(peer.identifier))
        channel = SecureChannel(
            self._router,
            remote,
            road,
            peer.identifier,
            keys,
            isInitiator=False,
            spawnerId=self.flowId if isAccepted else self.enrolmentFlowId,
            ordered=self._ordered,
            credential=peer.credential,
            party=self._party,
            only=None if isAccepted else self._enrolmentWorkers,
            charging=None if isAccepted and not isForAnybody(self._trust) else self._clock,
        )
        if not isAccepted:
            self._enrols(channel)
        return channel

    def _enrols(self, channel: SecureChannel) -> None:
        """
        A channel for enrolment has begun; it never becomes more than that.
        """
        end = self._clock.callLater(ENROLMENT_TIMEOUT, channel.fail, "its time for enrolment is over")
        self._enrolling[channel] = end

        def lost(reason: str) -> None:
            del self._enrolling[channel]
            if end.active():
                end.cancel()

        channel.whenLost().addCallback(lost)
        if len(self._enrolling) > self._maxUnfinished:
            crowd(self._enrolling, self._router.peers)[0].fail("there are too many enrolments")

    def _peerChanged(self, encryptor: Address) -> None:
        for channel in list(self.channels):
            if channel.encryptor == encryptor:
                self._check(channel)

    def recheck(self, identifier: Identifier) -> None:
        """
        It may not be accepted any more: end its channels then, and its
        enrolments and unfinished handshakes.
        """
        with self._router.turn:
            for channel in list(self.channels):
                if channel.peerIdentifier == identifier:
                    self._check(channel)
                    if not channel.hasEnded:
                        self._router.peers.changed(channel.encryptor)
            if not self._trust.accepts(identifier):
                for channel in list(self._enrolling):
                    if channel.peerIdentifier == identifier:
                        channel.fail("it was removed", REFUSED)

    def trustNow(self, trust: ITrustPolicy) -> None:
        """
        From now on accept others.  The channels of those who are not accepted
        any more end; about the others everybody decides anew.
        """
        self._trust = trust
        with self._router.turn:
            for channel in list(self.channels):
                self._check(channel)
                if not channel.hasEnded:
                    self._router.peers.changed(channel.encryptor)

    def end(self, encryptor: Address, reason: str) -> None:
        """
        End a channel of this listener.
        """
        for channel in [*self.channels, *self._enrolling]:
            if channel.encryptor == encryptor:
                channel.fail(reason)

    def _check(self, channel: SecureChannel) -> None:
        peer, trust = channel.peerIdentifier, self._trust
        if self._router.peers.isRefused(channel.encryptor):
            return  # It ends once everybody has heard of that.
        if not (trust.accepts(peer) and trust.confirms(peer, channel.credential)):
            self._log.info(
                "The channel with {peer} ends: it is not accepted any more",
                peer=peer,
                audit="ended",
                event="channel-ended",
            )
            self._router.peers.refuse(channel.encryptor)
            channel.fail("it is not accepted any more", REFUSED)

    def _finished(self, outcome: object, result: Deferred[SecureChannel]) -> object:
        self._unfinished.pop(result, None)
        return outcome

    def _opened(self, channel: SecureChannel, source: Route) -> None:
        enrols = channel in self._enrolling
        self._log.info(
            "A channel with {peer} was accepted{only}",
            peer=channel.peerIdentifier,
            only=", for enrolment only" if enrols else "",
            source=printable(str(source)),
            event="channel-accepted",
            audit="allowed",
        )
        if channel.hasEnded or enrols:
            return
        if len(self.channels) >= self._maxChannels:
            self._mostSilent(channel).fail("there are too many channels")
        self.channels[channel] = 0
        channel.whenLost().addCallback(lambda reason: self.channels.pop(channel, None))

    def _busiest(self) -> Deferred[SecureChannel]:
        """
        The oldest handshake of the connection that has most of them: what is
        behind a connection can be made up, the connection cannot.
        """
        [(connection, _)] = Counter(source[0] for source in self._unfinished.values()).most_common(1)
        return next(each for each, source in self._unfinished.items() if source[0] == connection)

    def _mostSilent(self, new: SecureChannel) -> SecureChannel:
        """
        Of the connection with most channels, C{new} among them, the first one
        that was not heard since it was last looked at here; those that were
        heard go to the end of the line.
        """
        crowded = [each for each in crowd((*self.channels, new), self._router.peers) if each is not new]
        for channel in crowded:
            if channel.heard == self.channels[channel]:
                return channel
            del self.channels[channel]
            self.channels[channel] = channel.heard
        return crowded[0]

    def _failed(self, failure: Failure, source: Route) -> None:
        if failure.check(CancelledError, DeferredTimeout):
            return
        if failure.check(PeerNotTrusted, IdentityRefused):
            self._log.warn(
                "A channel was refused: {reason}",
                peer=getattr(failure.value, "identifier", ""),
                reason=printable(failure.getErrorMessage()),
                source=printable(str(source)),
                event="channel-refused",
                audit="refused",
            )
        elif failure.check(OckamError):
            self._log.warn(
                "A handshake failed: {reason}",
                reason=printable(failure.getErrorMessage()),
                source=printable(str(source)),
                event="handshake-failed",
            )
        else:
            self._log.failure(
                "A handshake came to nothing", failure, source=printable(str(source)), event="handshake-error"
            )
