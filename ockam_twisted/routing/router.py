"""
The router: messages find workers (spec messaging, sections 3 and 12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from weakref import ref

from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.errors import AddressTaken
from ockam_twisted.interfaces import Buffer, IAccessControl, IFlowReceiver, IRouter, IWorker, PayloadReceiver
from ockam_twisted.routing.addresses import MAX_HOPS, Address, Route
from ockam_twisted.routing.flow import Flow, FlowControls
from ockam_twisted.routing.inbound import InboundBudget
from ockam_twisted.routing.local_message import LocalInfo, LocalMessage
from ockam_twisted.routing.peers import Peers
from ockam_twisted.routing.turn import Turn

#: Why a message was dropped; the keys of L{Router.dropped}.
NOBODY = "nobody at the next hop"
SENDER_GONE = "the sender is gone"
TOO_LONG = "the route is too long"
FLOW_CONTROL = "flow control"
OUTGOING = "access control of the sender"
INCOMING = "access control of the receiver"
FAILED = "the worker failed"

#: How many flows a mailbox remembers before it looks which ones are left.
_FLOWS = 64


class _Mailbox:
    """
    What is registered at one address.
    """

    __slots__ = ("_flows", "_limit", "incoming", "outgoing", "takesFlows", "watchers", "worker")

    def __init__(self, worker: IWorker, incoming: IAccessControl | None, outgoing: IAccessControl | None) -> None:
        self.worker = worker
        self.incoming = incoming
        self.outgoing = outgoing
        self.takesFlows = IFlowReceiver.providedBy(worker)
        self.watchers: dict[object, Callable[[], object]] = {}
        # A list, since most mailboxes never have more than two or three.
        self._flows: list[ref[Flow]] = []
        self._limit = _FLOWS

    def attach(self, flow: Flow) -> None:
        """
        C{flow} begins or ends here, until it becomes stale.
        """
        flows = self._flows
        flows.append(ref(flow))
        if len(flows) > self._limit:
            # Forget those that are gone or were attached again.
            self._flows = [ref(flow) for flow in {each() for each in flows} if flow is not None]
            self._limit = max(_FLOWS, 2 * len(self._flows))

    def invalidate(self) -> None:
        """
        Every flow here has to be resolved again.
        """
        flows, self._flows = self._flows, []
        for each in flows:
            flow = each()
            if flow is not None:
                flow.becomeStale()


@implementer(IRouter)
class Router(Service):
    """
    See L{IRouter}.

    @ivar turn: See L{IRouter}.
    @ivar flowControls: See L{IRouter}.
    @ivar inbound: See L{IRouter}.
    @ivar dropped: How many messages were dropped, by reason.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.turn = Turn()
        self.flowControls = FlowControls(self.invalidate)
        self.peers = Peers()
        self.inbound = InboundBudget()
        self.dropped: Counter[str] = Counter()
        self._mailboxes: dict[Address, _Mailbox] = {}

    def __contains__(self, address: Address) -> bool:
        return address in self._mailboxes

    def register(
        self,
        address: Address,
        worker: IWorker,
        incoming: IAccessControl | None = None,
        outgoing: IAccessControl | None = None,
    ) -> None:
        """
        See L{IRouter.register}.
        """
        if address in self._mailboxes:
            raise AddressTaken(f"there is already a worker at {address}")
        self._mailboxes[address] = _Mailbox(worker, incoming, outgoing)

    def unregister(self, address: Address) -> None:
        """
        See L{IRouter.unregister}.
        """
        mailbox = self._mailboxes.pop(address, None)
        if mailbox is not None:
            mailbox.invalidate()
        self.flowControls.remove(address)
        if mailbox is not None and mailbox.watchers:
            watchers = mailbox.watchers
            with self.turn:
                for key in list(watchers):
                    # One of them may have cancelled another one.
                    gone = watchers.pop(key, None)
                    if gone is not None:
                        try:
                            gone()
                        except Exception:
                            self._log.failure(
                                "Who watches {address} failed", address=str(address), event="watcher-failed"
                            )

    def worker(self, address: Address) -> IWorker | None:
        """
        See L{IRouter.worker}.
        """
        mailbox = self._mailboxes.get(address)
        return None if mailbox is None else mailbox.worker

    def watch(self, address: Address, gone: Callable[[], object]) -> Callable[[], None]:
        """
        See L{IRouter.watch}.
        """
        mailbox = self._mailboxes.get(address)
        if mailbox is None:
            gone()
            return lambda: None
        key = object()
        watchers = mailbox.watchers
        watchers[key] = gone
        return lambda: watchers.pop(key, None) and None

    def dependents(self, address: Address) -> int:
        """
        See L{IRouter.dependents}.
        """
        mailbox = self._mailboxes.get(address)
        return 0 if mailbox is None else len(mailbox.watchers)

    def invalidate(self, address: Address) -> None:
        """
        See L{IRouter.invalidate}.
        """
        mailbox = self._mailboxes.get(address)
        if mailbox is not None:
            mailbox.invalidate()

    def route(self, message: LocalMessage, source: Address) -> bool:
        """
        See L{IRouter.route}.
        """
        message.source = source
        mailbox = self._admit(message)
        if mailbox is None:
            return False
        self._deliver(mailbox.worker, message)
        return True

    def open(
        self,
        onward_route: Route,
        return_route: Route,
        source: Address,
        local_info: tuple[LocalInfo, ...] = (),
    ) -> Flow:
        """
        See L{IRouter.open}.
        """
        return Flow(self, onward_route, return_route, source, local_info)

    def resolve(self, flow: Flow) -> PayloadReceiver | None:
        """
        Find what a flow sends to.  For L{Flow} only.

        @return: L{None} if its messages cannot be delivered now.
        """
        message = flow.message()
        mailbox = self._admit(message)
        if mailbox is None:
            return None
        mailbox.attach(flow)
        self._mailboxes[flow.source].attach(flow)
        worker = mailbox.worker
        if mailbox.takesFlows:
            try:
                receiver: PayloadReceiver | None = worker.flowOpened(message)  # type: ignore[attr-defined]
            except Exception:
                self._failed(message)
                return None
            if receiver is not None:
                flow.isDirect = True
                return receiver

        def messageOf(pieces: Sequence[Buffer], size: int) -> None:
            self._deliver(worker, flow.message(b"".join(pieces)))

        return messageOf

    def _deliver(self, worker: IWorker, message: LocalMessage) -> None:
        try:
            worker.messageReceived(message)
        except Exception:
            self._failed(message)

    def _failed(self, message: LocalMessage) -> None:
        self.dropped[FAILED] += 1
        self._log.failure("A message for {to} was dropped", to=str(message.onward_route[0]), event="message-failed")

    def _admit(self, message: LocalMessage) -> _Mailbox | None:
        """
        Find the receiver of a message, if it may have it.
        """
        route = message.onward_route
        source = message.source
        assert source is not None
        sender = self._mailboxes.get(source)
        if sender is None:
            return self._drop(SENDER_GONE)
        mailbox = self._mailboxes.get(route[0]) if route else None
        if mailbox is None:
            return self._drop(NOBODY)
        if len(route) > MAX_HOPS or len(message.return_route) > MAX_HOPS:
            return self._drop(TOO_LONG)
        if not self.flowControls.permits(source, route[0]):
            return self._drop(FLOW_CONTROL)
        if sender.outgoing is not None and not sender.outgoing.permits(message):
            return self._drop(OUTGOING)
        if mailbox.incoming is not None and not mailbox.incoming.permits(message):
            return self._drop(INCOMING)
        return mailbox

    def _drop(self, reason: str) -> _Mailbox | None:
        self.dropped[reason] += 1
        return None
