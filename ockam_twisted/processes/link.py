"""
The link between two processes of a relay: what they forward to each other.

Routes are written once for each flow; a message is then the number of its
flow and its payload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, NamedTuple

from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import LocalProtocolError
from ockam_twisted.interfaces import Buffer, IFlow, IHop, IWorker, PayloadReceiver
from ockam_twisted.processes.exposed import Exposed
from ockam_twisted.processes.far import FarConnection, FarOutput
from ockam_twisted.processes.numbers import FlowKey, FlowNumbers, NumberedFlows
from ockam_twisted.processes.sources import LinkSource, Reports
from ockam_twisted.processes.words import ASKED_FLOW, FLOW, MESSAGE, TOLD, Told, told
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.inbound import weigh
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.turn import Turn
from ockam_twisted.transports.allowance import Allowance
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.queue import outputFor
from ockam_twisted.transports.sockets import HOP_READ, prepareSocket
from ockam_twisted.wire import cbor
from ockam_twisted.wire.frames import VERSION, FrameDecoder
from ockam_twisted.wire.messages import readTransportRoutes, transportPrefix

_length = Struct(">I").pack
_head = Struct(">IBI").pack
_number = Struct(">I").unpack_from

#: What precedes the payload of a message, without the length.
_FIXED = 5

#: What a frame may have beyond the largest payload, bytes.
_MORE = 64 * 1024

#: From this size on a payload is passed on as a view of what was read.
_VIEW = 4096

#: Bytes that may wait for a link whose other process has more to do than it can.
HIGH_WATER = 1024 * 1024

#: The origin of flows that begin at no connection.
NOBODY = Address.local("")


class _Inbound(NamedTuple):
    """
    What is known about the messages of a flow.
    """

    flow: IFlow
    source: LinkSource


def _nothing(output: object) -> None:
    """
    Nobody judges a link: who reads it is one of us.
    """


@implementer(IWorker)
class Link(Protocol):
    """
    One end.

    @ivar number: Of the process at the other end; 0 is the first one.
    @ivar settings: Of the hops here.
    @ivar spawnerId: The flow-control id that connections are spawned under.
    @ivar isLost: The other end is gone.
    @ivar hasFailed: It was lost because something went wrong here.
    @ivar reports: About what is full here.
    @ivar far: The connections of the other process that are known here.
    """

    _log = Logger()

    def __init__(self, settings: HopSettings, spawnerId: str, number: int, lost: Callable[[Link], object]) -> None:
        """
        @param lost: Called when the other end is gone.
        """
        self.settings = settings
        self.spawnerId = spawnerId
        self.number = number
        self.far: dict[Address, FarConnection] = {}
        self._lost = lost
        # The source of messages that the other process has let through.
        self._address = Address.random()
        self._frames = FrameDecoder(settings.maxFrame + _MORE)
        self._exposed = Exposed(settings.router, self.say, self._hide)
        # What is asked of the first process, by the connection that asks.
        self._asked: dict[Address, FarOutput] = {}
        self._sources: dict[Address, LinkSource] = {}
        self._inbound: NumberedFlows[_Inbound] = NumberedFlows()
        self._numbers: dict[Address, FlowNumbers] = {}
        self._last = 0
        self.reports = Reports(settings.clock)
        self.isLost = False
        self.hasFailed = False

    def connectionMade(self) -> None:
        """
        The descriptor was adopted.
        """
        prepareSocket(self.transport, HOP_READ)
        # A turn of its own: what a turn of the node has for one place leaves
        # in one piece, and the link itself feeds nobody.
        self.output = outputFor(self.transport, Turn(), HIGH_WATER, _nothing)
        self.output.label = f"the link to process {self.number}"
        self.settings.router.register(self._address, self, DenyAll())
        self.output.write((VERSION,), 1)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The other process is gone, and all that it had.
        """
        self.isLost = True
        router = self.settings.router
        self.reports.stop()
        with router.turn:
            self.output.connectionLost()
            while self.far:
                self.far.popitem()[1].gone()
            while self._asked:
                self._asked.popitem()[1].connectionLost()
            self._exposed.clear()
            router.unregister(self._address)
            self._inbound = NumberedFlows()
            for address in list(self._sources):
                self._forgetSource(address)
        self._lost(self)

    # ------------------------------------------------------------ outbound

    def say(self, what: Told, address: Address, *values: object) -> None:
        """
        Tell the other side something.
        """
        if not self.isLost:
            body = told(what, address, *values)
            self.output.write((_length(len(body)) + body,), len(body) + 4)

    def sender(self, output: FarOutput, isAsked: bool, onward: Route, back: Route) -> PayloadReceiver:
        """
        Make a flow through the link.

        @param output: What it leaves through.
        @param isAsked: Is it for the other side to say whether its messages
            may pass?  Then C{back} begins with the connection they came over.
        """
        self._exposed.introduce(back)
        origin = back[0] if back and back[0] in self._exposed else NOBODY
        numbers = self._numbers.get(origin)
        if numbers is None:
            numbers = self._numbers[origin] = FlowNumbers(self._next)
        key = (isAsked, onward, back)
        number, epoch = self._number(origin, numbers, key), numbers.epoch

        def send(pieces: Sequence[Buffer], size: int) -> None:
            nonlocal number, epoch
            if epoch != numbers.epoch:
                number, epoch = self._number(origin, numbers, key), numbers.epoch
            output.write((_head(size + _FIXED, MESSAGE, number), *pieces), size + _FIXED + 4)

        return send

    def _next(self) -> int:
        self._last = (self._last + 1) & 0xFFFFFFFF
        return self._last

    def _number(self, origin: Address, numbers: FlowNumbers, key: FlowKey) -> int:
        """
        The number of a flow; the other side knows it before its messages.
        """
        number = numbers.find(key)
        if number is None:
            isAsked, onward, back = key
            prefix = transportPrefix(onward, back)
            if numbers.makeRoom(weigh(prefix, onward, back)):
                # What this turn has collected still goes by the old numbers.
                for output in [*(far.output for far in self.far.values()), *self._asked.values()]:
                    output.flush()
                self.say(Told.FORGET, origin)
            number = numbers.add(key)
            body = _head(0, ASKED_FLOW if isAsked else FLOW, number)[4:] + prefix
            self.output.write((_length(len(body)) + body,), len(body) + 4)
        return number

    def ask(self, message: LocalMessage) -> PayloadReceiver | None:
        """
        Make a flow for what only the other side, the first process, can know.

        @return: L{None} if it did not come over a connection of this process.
        """
        back = message.return_route
        hop = self.settings.router.worker(back[0]) if back else None
        if not IHop.providedBy(hop) or isinstance(hop, FarConnection) or message.source != hop.receiver:
            return None
        self._exposed.introduce(back)
        output = self._asked.get(back[0])
        if output is None:
            label = "what is asked of the first process"
            output = self._asked[back[0]] = FarOutput(self, back[0], label)
        return self.sender(output, True, message.onward_route, back)

    def _hide(self, address: Address) -> None:
        """
        Something of ours is gone.
        """
        self._forgetSource(address)
        self._numbers.pop(address, None)
        asked = self._asked.pop(address, None)
        if asked is not None:
            asked.connectionLost()

    def _forgetSource(self, address: Address) -> None:
        source = self._sources.pop(address, None)
        if source is not None and source.allowance is not None:
            source.allowance.close()

    def name(self, address: Address, peer: str) -> FarConnection | None:
        """
        A relay name leads to something of the other process.

        @return: It; L{None} if the address is another's.
        """
        found = self.far.get(address)
        if found is None and not self.isLost:
            found = self._know(address, peer)
            if found is not None:
                self.say(Told.WATCH, address)
        return found

    def _know(self, address: Address, peer: str) -> FarConnection | None:
        if self.settings.router.worker(address) is not None:
            return None
        found = self.far[address] = FarConnection(self, address, peer)
        found.start()
        return found

    # ------------------------------------------------------------- inbound

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes from the other process.
        """
        turn = self.settings.router.turn
        known = self._inbound.known
        current: LinkSource | None = None
        try:
            for buffer, start, end in self._frames.feed(data):
                if buffer[start] == MESSAGE:
                    inbound = known.get(_number(buffer, start + 1)[0])
                    if inbound is None:
                        continue
                    # A turn for each place: what is full there pauses nothing
                    # else.
                    if inbound.source is not current:
                        if current is not None:
                            turn.leave()
                        current = inbound.source
                        turn.enter(current)
                    begin = start + _FIXED
                    size = end - begin
                    payload = memoryview(buffer)[begin:end] if size >= _VIEW else buffer[begin:end]
                    if current.allowance is None or inbound.flow.isDirect:
                        inbound.flow.send((payload,), size)
                    else:
                        with current.taking(self.settings.clock):
                            inbound.flow.send((payload,), size)
                else:
                    if current is not None:
                        current = None
                        turn.leave()
                    with turn:
                        self._frameReceived(buffer, start, end)
            if self._frames.failure is not None:
                raise self._frames.failure
        except Exception:
            # One of us has gone wrong: both are better off without it.
            self._log.failure("Losing the link to process {number}", number=self.number, event="link-failed")
            self.hasFailed = True
            self.transport.abortConnection()  # type: ignore[union-attr]
        finally:
            if current is not None:
                turn.leave()

    def _frameReceived(self, buffer: bytes, start: int, end: int) -> None:
        """
        Not a message.

        @raise OckamError: It is nothing else either.
        """
        kind = buffer[start]
        if kind in (FLOW, ASKED_FLOW):
            onward, back, _ = readTransportRoutes(buffer, start + _FIXED, end)
            opened = self._open(kind == ASKED_FLOW, Route.fromWire(onward), Route.fromWire(back))
            if opened is not None:
                origin = back[0] if back and back[0] in self.far else NOBODY
                self._inbound.add(Address(*origin), _number(buffer, start + 1)[0], opened)
        elif kind == TOLD:
            what, place, *values = cbor.decode(buffer[start + 1 : end])
            self._toldOf(what, Address(*place), values)
        else:
            raise LocalProtocolError(f"a frame of kind {kind}")

    def _open(self, isAsked: bool, onward: Route, back: Route) -> _Inbound | None:
        router = self.settings.router
        if isAsked:
            origin = self.far.get(back[0]) if back else None
            if origin is None:
                # It is gone.
                return None
            key, source = back[0], origin.receiver
        else:
            self._join(onward[0], back)
            key, source = onward[0], self._address
        through = self._sources.get(key)
        if through is None:
            through = self._sources[key] = LinkSource(self, key)
            if isAsked:
                through.allowance = Allowance(self.settings.clock, through)
            else:
                self._exposed.watch(key)
        return _Inbound(router.open(onward, back, source), through)

    def _join(self, there: Address, back: Route) -> None:
        """
        The other process has let this pass: so may what else comes the same
        way, and the replies.
        """
        controls = self.settings.router.flowControls
        for origin in back[:1]:
            for receiver, producer in ((there, origin), (origin, there)):
                flowId = controls.producerId(producer)
                if flowId is not None and self.settings.router.worker(receiver) is not None:
                    controls.addConsumer(receiver, flowId)

    def _toldOf(self, what: int, address: Address, values: list[Any]) -> None:
        if what == Told.MINE:
            self._know(address, str(values[0]))
        elif what == Told.WATCH:
            self._exposed.watch(address)
        elif what == Told.GONE:
            far = self.far.pop(address, None)
            self._forgetSource(address)
            self._inbound.forget(address)
            if far is not None:
                far.gone()
        elif what == Told.FORGET:
            self._inbound.forget(address)
        elif what in (Told.CLEAR, Told.END):
            self._end(what, address, values)
        else:
            far = self.far.get(address)
            output = self._asked.get(address) if far is None else far.output
            if output is None:
                return
            if what == Told.FULL:
                output.filled()
            elif what == Told.ROOM:
                output.eased()
            elif what == Told.PROGRESS:
                output.progressed(int(values[0]))

    def _end(self, what: int, address: Address, values: list[Any]) -> None:
        if what == Told.CLEAR:
            source = self._sources.get(address)
            for output in source.clear() if source is not None else ():
                self._log.warn(
                    "Closing {whom}: it makes no progress and holds others back",
                    whom=output.label,
                    event="link-stalled",
                )
                output.abortConnection()
            return
        hop = self.settings.router.worker(address)
        if IHop.providedBy(hop) and not isinstance(hop, FarConnection):
            if values[0]:
                hop.abortConnection(str(values[1]))
            else:
                hop.loseConnection()

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}: nobody may send here.
        """
