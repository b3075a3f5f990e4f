"""
What every hop does, whatever carries it: its two addresses, its output and its
source, and how it ends (design, section 6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import ConnectionClosed, OckamError
from ockam_twisted.interfaces import IHop, IOutput, PayloadReceiver
from ockam_twisted.routing.access import DenyAll
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.flow import newFlowId
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.source import Source
from ockam_twisted.transports.allowance import Allowance
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.sockets import behindGap, closeSent, endSending, isDead, peerFacts, unanswered

#: Seconds that the peer has to end a connection that we have ended, before it
#: is closed.
LINGER = 2.0


@implementer(IHop)
class HopProtocol(Protocol):
    """
    See L{IHop}.  A kind of hop says what messages look like on its carrier.

    @ivar received: Bytes received, of messages and what they are packed in.
    @ivar messages: See L{IHop}.
    @ivar isOrdered: Does what is sent arrive, all of it and in order?
    @ivar isPatient: See L{IHop}.
    @ivar makeOutput: Makes the L{ockam_twisted.transports.output.OutputQueue}
        that bytes leave through, of what that takes.
    @ivar ready: Fires with the hop once the peer is known to speak as we do.
    """

    _log = Logger()
    peer = "nobody yet"
    isOrdered = True
    isPatient = False
    makeOutput: Callable[..., Any]

    def __init__(self, settings: HopSettings, spawnerId: str | None = None) -> None:
        """
        @param spawnerId: The flow-control id of the listener that accepts
            this connection; L{None} for one that we make.
        """
        self.address = Address.random()
        self.receiver = Address.random()
        self.flowId = newFlowId()
        self.received = self.messages = 0
        self.ready: Deferred[Any] = Deferred()
        self._settings = settings
        self._spawnerId = spawnerId
        self._isReady = False
        # Seconds that what is being read has asked for.
        self._spent = 0.0
        self._ended = False
        self._error: OckamError | None = None
        self._warned = False
        self._lost: list[Deferred[str]] = []
        self._reason: str | None = None
        self._lingering: IDelayedCall | None = None

    @property
    def maxFrame(self) -> int:
        """
        How long a message may be, bytes.
        """
        return self._settings.maxFrame

    def flowOpened(self, message: LocalMessage) -> PayloadReceiver:
        """
        See L{IFlowReceiver.flowOpened}.
        """
        raise NotImplementedError

    def connectionMade(self) -> None:
        """
        Register both addresses.
        """
        settings = self._settings
        router = settings.router
        transport: Any = self.transport
        peer = transport.getPeer()
        host, port = getattr(peer, "host", None), getattr(peer, "port", None)
        self.peer = f"{host}:{port}" if host is not None else str(getattr(peer, "name", None) or "a local socket")
        self._turn = router.turn
        self.output = self.makeOutput(
            transport, router.turn, settings.highWater, settings.stalls.heldBack, settings.stalls.budget
        )
        self.output.label = f"the connection with {self.peer}"
        self.output.isShared = True
        self.output.endBy(self._linger)
        if self.isPatient:
            # It makes no progress while its broker is away.
            self.output.patience = float("inf")
        output: IOutput = self.output
        self.source = Source(
            self._pause,
            transport.resumeProducing,
            output,
            lambda: isDead(transport),
            lambda: self.abortConnection("the peer has reset the connection"),
            isShared=True,
            charge=self.charge,
        )
        # Who we connect to is our choice, and brings what others send.
        self._allowance = None if self._spawnerId is None else Allowance(settings.clock, self.source)
        router.register(self.address, self)
        router.register(self.receiver, self, DenyAll())
        router.peers.connected(self.address, lambda: peerFacts(transport), self.isOrdered, self.isPatient)
        router.flowControls.addProducer(self.receiver, self.flowId, self._spawnerId, (self.address,))

    def charge(self, seconds: float) -> None:
        """
        See L{ISource.charge}: it counts when all that was read is delivered.
        """
        self._spent += seconds

    def pay(self) -> None:
        """
        What was read is delivered: it may have been too much.
        """
        spent, self._spent = self._spent, 0.0
        if spent and self._allowance is not None:
            self._allowance.take(spent)

    def becomeReady(self) -> None:
        """
        The peer speaks as we do.
        """
        self._isReady = True
        self.ready.callback(self)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        Send one message.  See L{IWorker.messageReceived}.
        """
        self.flowOpened(message)((message.payload,), len(message.payload))

    def messageTooLarge(self, size: int) -> None:
        """
        A message is not sent, and the first one is told of.

        @param size: Of what would have been sent, bytes.
        """
        if not self._warned:
            self._warned = True
            self._log.warn(
                "Dropping messages for {peer} that are too large, the first of {size} bytes",
                peer=self.peer,
                size=size,
                event="message-too-large",
            )

    # ----------------------------------------------------------------- end

    @property
    def carried(self) -> int:
        """
        See L{IHop.carried}.
        """
        return self.received + int(self.output.sent)

    @property
    def pieces(self) -> int:
        """
        See L{IHop.pieces}.
        """
        return self.received + behindGap(self.transport)

    @property
    def isBlocked(self) -> bool:
        """
        See L{IHop.isBlocked}.
        """
        return (bool(self.source.pauses) or self.output.queued > 0) and not unanswered(self.transport)

    def loseConnection(self) -> None:
        """
        See L{IHop.loseConnection}.
        """
        if self._reason is None:
            self._reason = "we have closed it"
        self.output.loseConnection()

    def _linger(self) -> None:
        """
        All is sent.  What still comes is read, and means nothing.
        """
        transport: Any = self.transport
        self._lingering = self._settings.clock.callLater(LINGER, self._lingered)
        transport.resumeProducing()
        endSending(transport)

    def _lingered(self) -> None:
        """
        The peer has had its time.
        """
        if not closeSent(self.transport):
            # Some of it has not left yet: somebody has to see that it does.
            self._settings.stalls.heldBack(self.output)

    def _pause(self) -> None:
        """
        Read no more; but who has ended reads, to hear of the peer's end.
        """
        transport: Any = self.transport
        if self._lingering is None:
            transport.pauseProducing()

    def expire(self, reason: str) -> None:
        """
        End now, after L{loseConnection}.  If the kernel has all, it still
        sends it.

        @param reason: Why it is not drained, for people.
        """
        if self._lingering is None or not closeSent(self.transport):
            self.abortConnection(reason)

    def abortConnection(self, reason: str) -> None:
        """
        See L{IHop.abortConnection}.
        """
        if self._reason is None:
            self._reason = reason
            # Until it is ready, who has made it is told, and says so.
            if self._isReady or self._spawnerId is not None:
                self._log.warn(
                    "Losing the connection with {peer}: {reason}",
                    peer=self.peer,
                    reason=reason,
                    event="connection-broken",
                )
        self.output.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection has ended: forget both addresses.
        """
        text = self._reason = self._reason or reason.getErrorMessage()
        self._ended = True
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        router = self._settings.router
        with router.turn:
            self.output.connectionLost()
            if self._allowance is not None:
                self._allowance.close()
            router.peers.disconnected(self.address)
            router.unregister(self.address)
            router.unregister(self.receiver)
            lost, self._lost = self._lost, []
            for waiting in lost:
                waiting.callback(text)
            if not self._isReady:
                self._isReady = True
                self.ready.errback(self._error or ConnectionClosed(text))

    def whenLost(self) -> Deferred[str]:
        """
        See L{IHop.whenLost}.
        """
        waiting: Deferred[str] = Deferred()
        if self._ended:
            waiting.callback(str(self._reason))
        else:
            self._lost.append(waiting)
        return waiting
