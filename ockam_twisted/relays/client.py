"""
The registrant's side of a relay: one attempt to get a name, and what comes
through it (spec portals, section 8.2).
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from ockam_twisted.errors import ConnectionClosed, DecodeError, OckamError, RegistrationRefused, TimedOut
from ockam_twisted.interfaces import IRouter, IWorker
from ockam_twisted.relays.names import (
    FORWARDING_SERVICE,
    REGISTER,
    RELAY_PREFIX,
    STATIC_FORWARDING_SERVICE,
    checkRelayName,
)
from ockam_twisted.relays.quotas import DIRECT, EXTENSION, NOTIFY, extensionFlags
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.relay import NOTICE, Notice, decodeNotice, decodeRegistration, encodeRegistration

#: Seconds until the other address of the service is tried as well: a library
#: relay of Rust has only the plain one.
FALLBACK = 3.0


def _nothing() -> None:
    """
    Unwatches what is not watched.
    """


@frozen
class Registration:
    """
    What the relay has given.

    @ivar address: What others route to, at the relay.
    @ivar name: The same without its prefix.
    @ivar direct: What is relayed comes over the connection itself, not
        through the channel that proved who we are.
    """

    address: Address
    name: str
    direct: bool


@implementer(IWorker)
class RelayClient:
    """
    One attempt.  Its worker stays registered until L{stop}: some relays send
    through it.
    """

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        route: Route,
        name: str | None,
        askDirect: bool = False,
        timeout: float = 10.0,
        noticed: Callable[[Notice], object] | None = None,
    ) -> None:
        """
        @param route: To the relay's node.
        @param name: The name; L{None} for one of the relay's choice.
        @param askDirect: Ask for what is relayed to come over the connection
            that the channel at the head of C{route} was made over.
        @param timeout: Seconds the relay has to answer.
        @param noticed: Told what the relay says later; L{None}: it is not
            asked to say anything.
        @raise InvalidRelayName: C{name} is none; it is never sent.
        """
        if name is not None:
            checkRelayName(name)
        self.address = Address.random()
        self._router = router
        self._clock = clock
        self._route = route
        self._name = name
        self._noticed = noticed
        self._askDirect = askDirect
        flags = DIRECT * askDirect | NOTIFY * (noticed is not None)
        self._extension = EXTENSION + bytes((flags,)) if flags else b""
        self._timeout = timeout
        self._answered: Deferred[Registration] | None = None
        self._timers: list[IDelayedCall] = []
        self._unwatch: Callable[[], object] = _nothing

    def register(self) -> Deferred[Registration]:
        """
        Ask for the name, once.

        @return: Fails with L{TimedOut}, L{RegistrationRefused} or
            L{ConnectionClosed}.
        """
        self._router.register(self.address, self)
        flowId = self._router.flowControls.producerId(self._route[0])
        if flowId is not None:
            self._router.flowControls.addConsumer(self.address, flowId)
        answered = self._answered = Deferred(lambda _: self.stop())
        self._timers.append(self._clock.callLater(self._timeout, self._timedOut))
        if self._name is None:
            self._ask(FORWARDING_SERVICE)
        else:
            self._timers.append(self._clock.callLater(FALLBACK, self._ask, FORWARDING_SERVICE))
            self._ask(STATIC_FORWARDING_SERVICE)
        if self._answered is not None:
            # A relay that refuses us ends the channel, and says nothing else.
            self._unwatch = self._router.watch(self._route[0], self._roadGone)
        return answered

    def _roadGone(self) -> None:
        self._fail(ConnectionClosed("the connection to the relay is gone"))

    def _ask(self, service: Address) -> None:
        body = encodeRegistration(self._name or REGISTER, self._extension)
        with self._router.turn:
            message = LocalMessage(self._route.append(service), Route((self.address,)), body)
            if not self._router.route(message, self.address):
                self._roadGone()

    def _timedOut(self) -> None:
        self._fail(TimedOut(f"the relay did not answer a registration within {self._timeout:.0f} s"))

    def _fail(self, error: OckamError) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            self.stop()
            answered.errback(error)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        The reply, or something relayed.  See L{IWorker.messageReceived}.
        """
        if len(message.onward_route) > 1:
            self._passOn(message)
        elif self._noticed is not None and message.payload.startswith(NOTICE):
            self._notice(self._noticed, message.payload)
        elif self._answered is not None:
            try:
                registration = self._read(message)
            except (DecodeError, RegistrationRefused) as error:
                self._fail(error)
            else:
                answered, self._answered = self._answered, None
                self._waitNoMore()
                answered.callback(registration)

    def _notice(self, noticed: Callable[[Notice], object], payload: bytes) -> None:
        try:
            notice = decodeNotice(payload)
        except DecodeError:
            return
        if notice is not None:
            noticed(notice)

    def _passOn(self, message: LocalMessage) -> None:
        onward = message.onward_route.step()
        if onward[0] != self.address and message.source is not None:
            # Judged by where it came from, as if it had not been through here.
            self._router.route(
                LocalMessage(onward, message.return_route, message.payload, message.local_info), message.source
            )

    def _read(self, message: LocalMessage) -> Registration:
        """
        @raise RegistrationRefused: The relay answers something else than it
            was asked.
        """
        text, extension = decodeRegistration(message.payload)
        if not message.return_route or not message.return_route[-1].isLocal:
            raise RegistrationRefused("the relay's answer has no return route")
        address = message.return_route[-1]
        told = printable(address.value)
        name = told.removeprefix(RELAY_PREFIX)
        wanted = self._name
        if wanted is None:
            try:
                checkRelayName(name)
            except OckamError:
                raise RegistrationRefused(f"the relay gives a name that cannot be one: {told}") from None
        elif told not in (RELAY_PREFIX + wanted, wanted) or not text.endswith(wanted):
            raise RegistrationRefused(f"the relay gives another name than {wanted}: {told}")
        return Registration(address, name, bool(self._askDirect and extensionFlags(extension) & DIRECT))

    def _waitNoMore(self) -> None:
        self._unwatch()
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers = []

    def stop(self) -> None:
        """
        Forget the registration; the relay does with the connection.
        """
        self._waitNoMore()
        self._router.unregister(self.address)
