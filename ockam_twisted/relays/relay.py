"""
The worker behind one relay name, and the question whether its registrant
lives (spec portals, sections 8.3 and 8.4).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, IFlowReceiver, IRouter, IWorker, PayloadReceiver
from ockam_twisted.relays.claims import Claim
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage

_ECHO = Address.local("echo")


@implementer(IFlowReceiver)
class Relay:
    """
    Sends on what comes to a name: its own address makes room for the forward
    route, and all else stays as it is.

    @ivar claim: What it was registered with.
    @ivar takeovers: When the name changed hands lately, seconds.
    @ivar answers: Has its registrant ever answered an echo?
    @ivar probe: Asks it, once.
    """

    def __init__(self, router: IRouter, claim: Claim, takeovers: tuple[float, ...] = ()) -> None:
        self.claim = claim
        self.takeovers = takeovers
        self.answers = False
        self._router = router
        self.probe: Probe | None = None
        self._isStarted = False
        self._unwatch: Callable[[], None] | None = None
        self._senderGone: Callable[[Relay, Address], object] | None = None
        self._senderCame: Callable[[Relay, Address], object] | None = None
        self._senders: dict[Address, Callable[[], None]] = {}

    @property
    def senders(self) -> int:
        """
        How many connections have sent here, and live.
        """
        return len(self._senders)

    def answered(self, lives: bool) -> None:
        """
        The registrant was asked whether it is there.
        """
        self.probe = None
        self.answers = self.answers or lives

    def start(
        self,
        consumerIds: tuple[str, ...],
        gone: Callable[[Relay], object],
        senderGone: Callable[[Relay, Address], object] | None = None,
        senderCame: Callable[[Relay, Address], object] | None = None,
    ) -> None:
        """
        Take messages from now on.

        @param gone: Told when the connection in front of the name is gone.
        @param senderGone: Told when one is gone over which was sent here.
        @param senderCame: Told when one is new.
        @raise AddressTaken: There is some other worker at the address.
        """
        self._router.register(self.claim.address, self)
        for flowId in consumerIds:
            self._router.flowControls.addConsumer(self.claim.address, flowId)
        self._isStarted = True
        self._senderGone = senderGone
        self._senderCame = senderCame
        # Whoever is gone already is told at once.
        unwatch = self._router.watch(self.claim.forward_route[0], lambda: gone(self))
        self._unwatch = unwatch if self._isStarted else None

    def stop(self) -> None:
        """
        Take no more.
        """
        if self._isStarted:
            self._isStarted = False
            self._router.unregister(self.claim.address)
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        while self._senders:
            self._senders.popitem()[1]()
        if self.probe is not None:
            self.probe.stop()
            self.probe = None

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        source = self._join(message)
        self._router.route(
            LocalMessage(self._onward(message), message.return_route, message.payload, message.local_info), source
        )

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        source = self._join(message)
        inner = self._router.open(self._onward(message), message.return_route, source, message.local_info)

        def send(pieces: Sequence[Buffer], size: int) -> None:
            inner.send(pieces, size)

        return send

    def _onward(self, message: LocalMessage) -> Route:
        return self.claim.forward_route.append(*message.onward_route[1:])

    def _join(self, message: LocalMessage) -> Address:
        """
        Let messages pass from where this one came from to the registrant, and
        replies back: between these two connections, and no others.

        @return: The source of the message.
        """
        controls = self._router.flowControls
        source = message.source
        assert source is not None
        first = self.claim.forward_route[0]
        there = controls.producerId(source)
        here = controls.producerId(first)
        if there is not None and not controls.permits(source, first):
            controls.addConsumer(first, there)
        # The return route is the sender's word, but for its first address if
        # that is where the message came from.
        for back in message.return_route[:1]:
            if here is not None and controls.producerId(back) == there and self._router.worker(back) is not None:
                controls.addConsumer(back, here)
                if back not in self._senders:
                    self._senders[back] = self._router.watch(back, partial(self.lostSender, back))
                    if self._senderCame is not None:
                        self._senderCame(self, back)
        return source

    def sentFrom(self, connection: Address) -> None:
        """
        Another process, which has C{connection}, lets it send to this name.
        """
        self._senders.setdefault(connection, lambda: None)

    def lostSender(self, connection: Address) -> None:
        """
        A connection is gone over which was sent here.
        """
        known = self._senders.pop(connection, None)
        if known is not None and self._senderGone is not None:
            self._senderGone(self, connection)


@implementer(IWorker)
class Probe:
    """
    Asks the C{echo} at the end of a route whether it is there.
    """

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        forward_route: Route,
        timeout: float,
        answered: Callable[[bool], object],
    ) -> None:
        """
        @param timeout: Seconds it has.
        @param answered: Called once, unless L{stop} comes first.
        """
        self._router = router
        self._answered = answered
        self._address = Address.random()
        # A CBOR uint64, as the liveness pings of everybody.
        self._payload = b"\x1b" + os.urandom(8)
        router.register(self._address, self)
        flowId = router.flowControls.producerId(forward_route[0])
        if flowId is not None:
            router.flowControls.addConsumer(self._address, flowId)
        self._deadline = clock.callLater(timeout, self._timedOut)
        route = forward_route.append(_ECHO)
        router.route(LocalMessage(route, Route((self._address,)), self._payload), self._address)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if message.payload == self._payload and self._deadline.active():
            self.stop()
            self._answered(True)

    def _timedOut(self) -> None:
        with self._router.turn:
            self.stop()
            self._answered(False)

    def stop(self) -> None:
        """
        Ask no more.
        """
        if self._deadline.active():
            self._deadline.cancel()
        self._router.unregister(self._address)
