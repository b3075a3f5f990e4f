"""
The handshake of a secure channel, from the first message to a channel that
is registered (spec identity, sections 6.2 to 6.4).

Each role is one coroutine that reads like the pattern it carries out.  What
needs a secret is asked of the vault, which may take its time.  Cancelling
the coroutine's Deferred undoes everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.cipher import Encryptor
from ockam_twisted.channels.noise import InitiatorHandshake, Keys, ResponderHandshake
from ockam_twisted.channels.party import Party
from ockam_twisted.errors import ConnectionClosed, HandshakeFailed, IdentityRefused
from ockam_twisted.identity.payload import VerifiedPeer
from ockam_twisted.interfaces import IFlowReceiver, IRouter, ITrustPolicy, IVault, PayloadReceiver
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.channel import REFUSED

_log = Logger()

#: Records that may arrive while the last step of a handshake is still being
#: worked on.
_MAX_EARLY = 64


@implementer(IFlowReceiver)
class Exchange:
    """
    The address of a handshake, and then of the channel that came of it: what
    arrives at it is waited for until there is a channel.
    """

    def __init__(self, router: IRouter, flowId: str | None, first: Address) -> None:
        """
        @param flowId: Of what the peer's messages come over.
        @param first: Where our messages to the peer go first.
        """
        self.address = Address.random()
        self._router = router
        self._arrived: deque[LocalMessage] = deque()
        self._waiting: Deferred[LocalMessage] | None = None
        router.register(self.address, self)
        if flowId is not None:
            router.flowControls.addConsumer(self.address, flowId)
        self._channel: SecureChannel | None = None
        self._isLost = False
        self._unwatch = router.watch(first, self._roadGone)

    def _roadGone(self) -> None:
        self._isLost = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(_connectionLost())

    def send(self, route: Route, payload: bytes) -> None:
        """
        Send one message of the handshake.
        """
        with self._router.turn:
            self._router.route(LocalMessage(route, Route((self.address,)), payload), self.address)

    def receive(self) -> Deferred[LocalMessage]:
        """
        Wait for the next message.
        """
        waiting: Deferred[LocalMessage] = Deferred()
        if self._arrived:
            waiting.callback(self._arrived.popleft())
        elif self._isLost:
            waiting.errback(_connectionLost())
        else:
            self._waiting = waiting
        return waiting

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if self._channel is not None:
            self._channel.receiver.messageReceived(message)
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(message)
        elif len(self._arrived) < _MAX_EARLY:
            self._arrived.append(message)

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver | None:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        return None if self._channel is None else self._channel.receiver.flowOpened(message)

    def handOver(self, channel: SecureChannel) -> None:
        """
        From now on what arrives is for the channel; what has arrived already
        comes first.
        """
        self._unwatch()
        with self._router.turn:
            while self._arrived and not channel.hasEnded:
                message = self._arrived.popleft()
                channel.receiver.messageReceived(message)
            self._channel = channel
            self._router.invalidate(self.address)

    def close(self) -> None:
        """
        The handshake has failed.
        """
        self._unwatch()
        self._router.unregister(self.address)


def _connectionLost() -> ConnectionClosed:
    return ConnectionClosed("the connection was lost during the handshake")


def _forget(vault: IVault, ephemeral: bytes) -> None:
    vault.deleteKey(ephemeral).addErrback(
        lambda failure: _log.failure("An ephemeral key was not deleted", failure, event="ephemeral-not-deleted")
    )


#: Makes the channel: remote address, route to the peer, who it is, keys.
MakeChannel = Callable[[Address, Route, VerifiedPeer, Keys], SecureChannel]


async def initiate(
    router: IRouter, party: Party, route: Route, trust: ITrustPolicy, makeChannel: MakeChannel
) -> SecureChannel:
    """
    Make a channel to the listener at the end of C{route}.

    @raise HandshakeFailed: The peer is not who it should be, or something
        else than a listener.
    @raise ConnectionClosed: The first hop of the route went away.
    """
    vault = party.vault
    static, public = party.staticKey()
    exchange = Exchange(router, router.flowControls.producerId(route[0]), route[0])
    ephemeral = b""
    try:
        ephemeral = await vault.generateAgreementKey()
        noise = InitiatorHandshake(public, await vault.agreementPublicKey(ephemeral))
        # -> e
        exchange.send(route, noise.writeMessage1())
        # <- e, ee, s, es
        reply = await exchange.receive()
        if not reply.return_route:
            raise HandshakeFailed("the answer to message 1 has no return route")
        re = noise.readMessage2Ephemeral(reply.payload)
        rs = noise.readMessage2Static(await vault.agree(ephemeral, re))
        payload = noise.readMessage2Payload(await vault.agree(ephemeral, rs))
        peer = await party.verify(payload, rs, trust)
        # -> s, se
        third = noise.writeMessage3(await vault.agree(static, re), party.payload())
        # The channel is there before message 3 leaves: the peer may answer
        # with a record at once.
        channel = makeChannel(exchange.address, reply.return_route, peer, noise.split())
    except BaseException:
        exchange.close()
        raise
    finally:
        if ephemeral:
            _forget(vault, ephemeral)
    exchange.send(reply.return_route, third)
    exchange.handOver(channel)
    return channel


async def respond(
    router: IRouter,
    party: Party,
    first: LocalMessage,
    trust: ITrustPolicy,
    makeChannel: MakeChannel,
    enrolment: ITrustPolicy | None = None,
) -> SecureChannel:
    """
    Answer message 1 of a handshake.

    @param trust: Whom we accept.
    @param enrolment: Whom we accept to enrol; nothing is kept of them.

    @raise HandshakeFailed: The peer is not who it should be, or breaks the
        protocol.
    """
    vault = party.vault
    static, public = party.staticKey()
    assert first.source is not None
    exchange = Exchange(router, router.flowControls.producerId(first.source), first.return_route[0])
    ephemeral = b""
    try:
        ephemeral = await vault.generateAgreementKey()
        noise = ResponderHandshake(public, await vault.agreementPublicKey(ephemeral))
        # -> e
        noise.readMessage1(first.payload)
        # <- e, ee, s, es
        ee = await vault.agree(ephemeral, noise.re)
        es = await vault.agree(static, noise.re)
        exchange.send(first.return_route, noise.writeMessage2(ee, es, party.payload()))
        # -> s, se
        third = await exchange.receive()
        rs = noise.readMessage3Static(third.payload)
        payload = noise.readMessage3Payload(await vault.agree(ephemeral, rs))
        keys = noise.split()
        try:
            peer = await party.verify(payload, rs, trust, enrolment)
            channel = makeChannel(exchange.address, first.return_route, peer, keys)
        except (HandshakeFailed, IdentityRefused):
            # The initiator believes that there is a channel by now, and
            # nothing else would tell it that there is none.
            exchange.send(first.return_route, b"".join(Encryptor(keys.send).encrypt(REFUSED)))
            raise
    except BaseException:
        exchange.close()
        raise
    finally:
        if ephemeral:
            _forget(vault, ephemeral)
    exchange.handOver(channel)
    return channel
