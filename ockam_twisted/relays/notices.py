"""
What a relay tells its neighbours: that it is about to stop, and that what they
send to is gone (design, section 5; C{docs/relay-extension.rst}).

Nobody proves any of it, so that it is only a reason to ask the far end now.
It is sent to those only who have shown that they know it: registrants by a
flag of their registration, senders by a notice of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zope.interface import implementer

from ockam_twisted.errors import DecodeError
from ockam_twisted.interfaces import IRouter, IWorker
from ockam_twisted.relays.names import NOTICES
from ockam_twisted.relays.relay import Relay
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.relay import COME, GONE, LEAVING, SENDING, Notice, decodeNotice, encodeNotice

#: To how many names one connection may say that it sends.
PER_CONNECTION = 16


@implementer(IWorker)
class Notices:
    """
    The relay's side.
    """

    def __init__(self, router: IRouter, relays: Mapping[Address, Relay], consumerIds: tuple[str, ...]) -> None:
        """
        @param relays: The names in use.
        @param consumerIds: The flow-control ids that senders may come from.
        """
        self._router = router
        self._relays = relays
        self._consumerIds = consumerIds
        self._isLeaving = False
        # By connection: where who sends to which name is told.
        self._senders: dict[Address, dict[Address, Route]] = {}

    def start(self) -> None:
        """
        Listen to senders from now on.
        """
        self._router.register(NOTICES, self)
        for flowId in self._consumerIds:
            self._router.flowControls.addConsumer(NOTICES, flowId)

    def stop(self) -> None:
        """
        Listen to them no more.
        """
        self._router.unregister(NOTICES)
        self._senders.clear()

    @property
    def senders(self) -> int:
        """
        How many connections have said that they send to names, and live.
        """
        return len(self._senders)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        Somebody will send to a name.  See L{IWorker.messageReceived}.
        """
        back, controls = message.return_route, self._router.flowControls
        try:
            notice = decodeNotice(message.payload)
        except DecodeError:
            return
        if notice is None or notice.kind != SENDING or len(message.onward_route) != 1 or len(back) != 2:
            return
        came = None if message.source is None else controls.producerId(message.source)
        if came is None or controls.producerId(back[0]) != came or self._router.worker(back[0]) is None:
            return
        names = self._senders.get(back[0])
        if names is None:
            names = self._senders[back[0]] = {}
            hop = back[0]
            self._router.watch(hop, lambda: self._senders.pop(hop, None))
        if len(names) < PER_CONNECTION:
            name = Address.local(notice.address)
            names[name] = back
            if self._isLeaving:
                self._tell(back, Notice(LEAVING))
            elif name not in self._relays:
                self._tell(back, Notice(GONE, name.value))

    def _tell(self, back: Route, notice: Notice, source: Address = NOTICES) -> None:
        self._router.route(LocalMessage(back, Route((source,)), encodeNotice(notice)), source)

    def leave(self) -> None:
        """
        Tell everybody that this relay is about to stop.
        """
        self._isLeaving = True
        with self._router.turn:
            for names in list(self._senders.values()):
                self._tell(next(iter(names.values())), Notice(LEAVING))
            for relay in list(self._relays.values()):
                if relay.claim.notices:
                    self._tell(relay.claim.back, Notice(LEAVING), relay.claim.address)

    def registrantGone(self, address: Address) -> None:
        """
        The connection in front of a name is gone: tell who sends to it.
        """
        self._tellSenders(address, GONE)

    def registrantCame(self, address: Address) -> None:
        """
        A name leads to somebody: tell who wants to send to it.
        """
        self._tellSenders(address, COME)

    def _tellSenders(self, address: Address, kind: int) -> None:
        for names in list(self._senders.values()):
            back = names.get(address)
            if back is not None:
                self._tell(back, Notice(kind, address.value))

    def senderGone(self, relay: Relay, connection: Address) -> None:
        """
        A connection is gone that sent to a name: tell the registrant, who
        sends back over it.
        """
        if relay.claim.notices:
            self._tell(relay.claim.back, Notice(GONE, connection.value), relay.claim.address)


@implementer(IWorker)
class NoticeReader:
    """
    The side of who sends to a name.
    """

    def __init__(self, router: IRouter, hop: Address, name: Address, noticed: Callable[[Notice], object]) -> None:
        """
        @param hop: The connection to the relay.
        @param name: What is sent to, there.
        @param noticed: Told what the relay says, if it is one of ours.
        """
        self.address = Address.random()
        self._router = router
        self._name = name
        self._noticed = noticed
        router.register(self.address, self)
        flowId = router.flowControls.producerId(hop)
        if flowId is not None:
            router.flowControls.addConsumer(self.address, flowId)
        hello = encodeNotice(Notice(SENDING, name.value))
        with router.turn:
            router.route(LocalMessage(Route((hop, NOTICES)), Route((self.address,)), hello), self.address)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        try:
            notice = decodeNotice(message.payload)
        except DecodeError:
            return
        if notice is None or notice.kind not in (LEAVING, GONE, COME):
            return
        if notice.kind == LEAVING or notice.address == self._name.value:
            self._noticed(notice)

    def stop(self) -> None:
        """
        Listen no more.
        """
        self._router.unregister(self.address)
