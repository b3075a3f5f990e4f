"""
One connection over Bluetooth Low Energy, whatever makes it: a carrier
(L{ockam_twisted.transports.message}) of messages in fragments
(L{ockam_twisted.wire.ble}).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import DecodeError
from ockam_twisted.transports.filling import Filling
from ockam_twisted.wire.ble import MAX_MESSAGE, Joining, Window, fragments

#: Bytes that may wait to be sent before whoever writes is told to stop, and
#: what is left of them when he may go on.
HIGH, LOW = 64 * 1024, 16 * 1024

#: Bytes that are kept for a hop that wants nothing now.  One of ours never
#: sends so much; from another one there is nothing that would hold it back.
KEPT = 256 * 1024

#: Seconds in which what waits has to be sent once the end is wanted.
LAST = 10.0


@implementer(IAddress)
@frozen
class BLEAddress:
    """
    Who is at the other end, for people.
    """

    name: str


class BLELink(Filling):
    """
    See the module.  All of it happens in the thread of one asyncio loop.

    @ivar window: What was agreed on with the peer.
    @ivar behind: The hop, from L{begin} until the end.
    """

    maxMessage = MAX_MESSAGE
    behind: Any = None

    def __init__(
        self,
        address: BLEAddress,
        send: Callable[[bytes], Awaitable[None]],
        say: Callable[[bytes], Awaitable[None]],
        drain: Callable[[], Awaitable[None]],
        disconnect: Callable[[], object],
        mtu: Callable[[], int],
    ) -> None:
        """
        @param send: Sends one fragment, and waits for room.
        @param say: Sends what is to be agreed on.
        @param drain: Waits until the controller has sent all of it.
        @param disconnect: Ends the connection, and does not wait for what the
            controller has not sent yet; L{lost} follows.
        @param mtu: The ATT MTU now, bytes.
        """
        self.window = Window()
        self._address = address
        self._send = send
        self._say = say
        self._drain = drain
        self._disconnect = disconnect
        self._mtu = mtu
        self._joining = Joining()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._kept: deque[bytes] = deque()
        self._keptSize = 0
        self._isPaused = False
        self._isEnding = False
        self._isOver = False
        self._why: Exception | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._saying: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None

    def begin(self, behind: Any) -> None:
        """
        There is a hop.
        """
        self.behind = behind
        if not self._isOver:
            self._pumping = asyncio.get_running_loop().create_task(self._pump())
        behind.makeConnection(self)
        # What has come before there was a hop.
        self._handOver()

    # ------------------------------------------------------------- inbound

    def fragmentReceived(self, data: bytes) -> None:
        """
        The peer has sent a fragment.
        """
        if self._isEnding:
            return
        try:
            message = self._joining.add(data)
        except DecodeError:
            # Nothing is lost on the way: he does not keep to the protocol.
            self.abortConnection()
            return
        if message is None:
            return
        self._kept.append(message)
        self._keptSize += len(message)
        if self._keptSize > KEPT:
            self.abortConnection()
            return
        self._handOver()

    def agreementReceived(self, data: bytes) -> None:
        """
        The peer has said what is to be agreed on.
        """
        try:
            self.window.heard(data, self._mtu())
        except DecodeError:
            self.abortConnection()
        self._wake.set()

    def _handOver(self) -> None:
        while self._kept and not self._isPaused and self.behind is not None:
            message = self._kept.popleft()
            self._keptSize -= len(message)
            said = self.window.taken()
            if said is not None and not self._isOver:
                self.say(said)
            self.behind.dataReceived(message)
        if self._isOver and not self._kept:
            self._end()

    def say(self, data: bytes) -> None:
        """
        Tell the peer what is to be agreed on.
        """
        saying = asyncio.ensure_future(self._quietly(self._say(data)))
        self._saying.add(saying)
        saying.add_done_callback(self._saying.discard)

    async def _quietly(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except Exception:
            # It cannot be said: the connection is gone, or as good as gone.
            if not self._isOver:
                self.abortConnection()

    # ------------------------------------------------------------ outbound

    def write(self, data: bytes) -> None:
        """
        Send one message.
        """
        if self._isEnding:
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._queued > HIGH:
            self.filled(True)
        self._wake.set()

    async def _pump(self) -> None:
        await self._quietly(self._sendAll())

    async def _sendAll(self) -> None:
        while True:
            self._wake.clear()
            while self._queue and self.window.isOpen:
                message = self._queue.popleft()
                self.window.sent()
                for fragment in fragments(message, self.window.fragment):
                    await self._send(fragment)
                self._queued -= len(message)
                if self._queued <= LOW:
                    self.filled(False)
            if self._isEnding and not self._queue:
                await self._drain()
                self._disconnect()
                return
            await self._wake.wait()

    # ------------------------------------------------- of the hop's carrier

    def getPeer(self) -> BLEAddress:
        """
        See C{ITransport}.
        """
        return self._address

    getHost = getPeer

    def pauseProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        self._isPaused = False
        self._handOver()

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        self._dropKept()
        if self._isEnding:
            return
        self._isEnding = True
        self._wake.set()
        self._deadline = asyncio.get_running_loop().call_later(LAST, self.abortConnection)
        if self._pumping is None:
            self.abortConnection()

    def abortConnection(self) -> None:
        """
        See C{ITCPTransport}.
        """
        self._isEnding = True
        self._dropKept()
        if not self._isOver:
            self._disconnect()
            self.lost(ConnectionLost())

    def _dropKept(self) -> None:
        """
        What the peer has said last is wanted no more.
        """
        self._kept.clear()
        if self._isOver:
            self._end()

    def lost(self, why: Exception | None = None) -> None:
        """
        The connection is gone.  The hop hears of it when it has taken what came before.

        @param why: L{None}: one of the two has ended it, or it was out of
            reach.
        """
        if self._isOver:
            return
        self._isOver = self._isEnding = True
        if self._deadline is not None:
            self._deadline.cancel()
        pumping = self._pumping
        if pumping is not None and pumping is not asyncio.current_task():
            pumping.cancel()
        self._queue.clear()
        self._why = why
        self._handOver()

    def _end(self) -> None:
        behind, self.behind = self.behind, None
        if behind is not None:
            behind.connectionLost(Failure(self._why or ConnectionDone()))
