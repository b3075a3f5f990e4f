"""
A secure channel after its handshake: an encryptor and a decryptor, two
workers that meet everybody else in the router (spec identity, sections 6.1
and 6.3 to 6.11).

The plaintext of a record carries routes of its own; whatever is said of the
outer ones by machines on the way has no say over these.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.channels.bundle import Bundle
from ockam_twisted.channels.cipher import Decryptor, Encryptor, NoncesExhausted
from ockam_twisted.channels.inward import Inward
from ockam_twisted.channels.noise import Keys
from ockam_twisted.channels.party import Party
from ockam_twisted.channels.standing import Standing
from ockam_twisted.channels.workers import EncryptorWorker, RecordReceiver
from ockam_twisted.errors import OckamError, RecordRefused
from ockam_twisted.identity.credentials import VerifiedCredential
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import Buffer, IRouter, ISecureChannel
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import EMPTY, Address, Route
from ockam_twisted.routing.flow import newFlowId
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.channel import (
    BUNDLE_HEAD,
    CLOSE,
    PLAINTEXT_TAIL,
    READS_BUNDLES,
    bundleBounds,
    encodeRefresh,
)


def _nothing() -> None:
    """
    Unwatches what is not watched.
    """


@implementer(ISecureChannel)
class SecureChannel:
    """
    See L{ISecureChannel}.

    @ivar remote: The address that the peer sends records to; what is
        registered there passes them on to C{receiver}.
    @ivar receiver: Takes the records.
    @ivar isInitiator: Did we begin the handshake?
    @ivar heard: Records accepted; changes whenever the peer was heard.
    @ivar standing: What is known of the peer, now.
    @ivar wasRefused: The peer has ended it because it does not accept us.
    """

    wasRefused = False
    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        remote: Address,
        route: Route,
        peerIdentifier: Identifier,
        keys: Keys,
        isInitiator: bool,
        spawnerId: str | None = None,
        ordered: bool = True,
        credential: VerifiedCredential | None = None,
        party: Party | None = None,
        only: Container[Address] | None = None,
        charging: IReactorTime | None = None,
    ) -> None:
        """
        @param remote: Our address that the handshake used; it is ours from
            now on.
        @param route: To the peer's such address.
        @param spawnerId: The flow-control id of our listener.
        @param ordered: Is the road below ordered?  If not, no portal may use
            this channel, and a window of 32 records is accepted.
        @param credential: What an authority of ours says of the peer.
        @param party: Our side of it; verifies what the peer presents anew.
        @param only: The workers that the peer may send to: it is refused when
            it tries another.  L{None}: access control alone decides.
        @param charging: See L{Inward}.
        """
        self.encryptor = Address.random()
        self.decryptor = Address.random()
        self.flowId = newFlowId()
        self.remote = remote
        self.receiver = RecordReceiver(self.receiveRecord)
        self.peerIdentifier = peerIdentifier
        self.isInitiator = isInitiator
        self.heard = 0
        self._router = router
        self._route = route
        self._encrypt = Encryptor(keys.send)
        ordered = ordered and router.peers.isOrdered(route)
        self._decrypt = Decryptor(keys.receive, ordered)
        self._ordered = ordered
        self._reason: str | None = None
        self._lost: list[Deferred[str]] = []
        self._bundle = Bundle(router.turn, self._sendRecord)
        connection = router.peers.ofConnection(route)
        info = PeerIdentity(peerIdentifier, self.encryptor, route[0], connection=connection, isOrdered=ordered)
        self.standing = Standing(router, info, credential, party)
        self._inward = Inward(self, router, only, charging)
        self._deliver = self._inward.deliver
        self.standing.changed = self._inward.forget
        if party is not None:
            party.channels.add(self)
        router.register(self.encryptor, EncryptorWorker(self.sendPlaintext))
        router.register(self.decryptor, EncryptorWorker(self.sendPlaintext), DenyAll())
        router.flowControls.addProducer(self.decryptor, self.flowId, spawnerId, (self.encryptor,))
        self._lower = router.open(route, EMPTY, self.encryptor)
        self._unwatch: Callable[[], None] = _nothing
        self._watch()

    def _watch(self) -> None:
        """
        The end of the road below is our end; it may have come already.
        """
        self._unwatch()
        self._unwatch = self._router.watch(self._route[0], partial(self.end, "the connection below it was lost"))

    # ------------------------------------------------------------- sending

    def sendPlaintext(self, plaintext: bytes) -> None:
        """
        Send a message, together with others if that may be.  For the
        encryptor.
        """
        bundle = self._bundle
        if not bundle.isWelcome or not bundle.add(plaintext):
            self._sendRecord(plaintext)

    def _sendRecord(self, plaintext: bytes) -> None:
        encrypt = self._encrypt
        if not encrypt.nonce and self._ordered and plaintext.endswith(PLAINTEXT_TAIL):
            plaintext = plaintext[:-1] + READS_BUNDLES
        try:
            nonce, sealed = encrypt.encrypt(plaintext)
        except NoncesExhausted as error:
            self.end(str(error))
            return
        self._lower.send((nonce, sealed), len(sealed) + 8)

    def bundlesRead(self) -> None:
        """
        The peer has said that it reads bundles.
        """
        self._bundle.isWelcome = self._ordered

    def presentCredential(self, change_history: bytes, credential: bytes) -> None:
        """
        See L{ISecureChannel.presentCredential}.
        """
        if self._reason is None:
            with self._router.turn:
                self._bundle.flush()
                self._sendRecord(encodeRefresh(change_history, (credential,) if credential else ()))

    # ----------------------------------------------------------- receiving

    def receiveRecord(self, record: Buffer, back: Route) -> None:
        """
        A record has arrived.  For the decryptor.

        @param back: Its return route, which the record does not protect.
        """
        try:
            plaintext = self._decrypt.decrypt(record)
        except RecordRefused as error:
            if self._ordered:
                # One missing record would be a hole in some stream.
                self._log.error(
                    "Ending the channel with {peer}: {reason}",
                    peer=self.peerIdentifier,
                    reason=str(error),
                    event="channel-broken",
                )
                self.fail(str(error))
            return
        self.heard += 1
        if not plaintext.startswith(BUNDLE_HEAD):
            self._deliver(plaintext, 0, len(plaintext), back)
            return
        try:
            bounds = bundleBounds(plaintext)
        except OckamError as error:
            self._inward.drop(error)
            return
        for start, end in bounds:
            # Nonsense must cost its sender as much as in records of its own.
            if not self._deliver(plaintext, start, end, back) or self._reason is not None:
                break

    def follow(self, back: Route) -> bool:
        """
        The peer's records come another way: answer that way (spec identity,
        section 6.9).  Only the responder does, and not for record 0.

        @return: Is that way known from now on?
        """
        if not self.isInitiator:
            if not self._decrypt.lastNonce:
                return False
            route = back.append(self._route[-1])
            if route != self._route:
                self._route = route
                self._lower.close()
                self._lower = self._router.open(route, EMPTY, self.encryptor)
                self._watch()
        return True

    # -------------------------------------------------------------- ending

    def close(self) -> None:
        """
        See L{ISecureChannel.close}.
        """
        self.fail("we have closed it")

    def fail(self, reason: str, close: bytes = CLOSE) -> None:
        """
        Send Close and end the channel, for a reason.

        @param close: How to say it: L{CLOSE} or
            L{REFUSED <ockam_twisted.wire.channel.REFUSED>}.
        """
        if self._reason is None:
            with self._router.turn:
                self._bundle.flush()
                try:
                    nonce, sealed = self._encrypt.encrypt(close)
                except NoncesExhausted:
                    pass
                else:
                    message = LocalMessage(self._route, Route((self.encryptor,)), nonce + sealed)
                    self._router.route(message, self.encryptor)
                self.end(reason)

    def end(self, reason: str) -> None:
        """
        It is over; nothing is said to the peer.
        """
        if self._reason is not None:
            return
        self._reason = reason
        with self._router.turn:
            self._unwatch()
            self._lower.close()
            self._inward.forget()
            self._bundle.clear()
            self.standing.end()
            for address in (self.remote, self.decryptor, self.encryptor):
                self._router.unregister(address)
            lost, self._lost = self._lost, []
            for waiting in lost:
                waiting.callback(reason)

    @property
    def road(self) -> Route:
        """
        Where its records go, now.
        """
        return self._route

    @property
    def credential(self) -> VerifiedCredential | None:
        """
        What an authority of ours says of the peer, now.
        """
        return self.standing.credential

    @property
    def reason(self) -> str:
        """
        Why it is over; empty while it is not.
        """
        return self._reason or ""

    @property
    def hasEnded(self) -> bool:
        """
        Is it over?
        """
        return self._reason is not None

    def whenLost(self) -> Deferred[str]:
        """
        See L{ISecureChannel.whenLost}.
        """
        waiting: Deferred[str] = Deferred()
        if self._reason is not None:
            waiting.callback(self._reason)
        else:
            self._lost.append(waiting)
        return waiting
