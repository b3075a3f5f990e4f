"""
Several messages in one record (C{docs/bundles.rst}).

In a pass over many sockets most of what is read is small, and goes through the
same channel.  Put together, it is encrypted, passed on by each relay, and
decrypted once.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from ockam_twisted.interfaces import IBundle, ISource
from ockam_twisted.routing.turn import Several, Turn
from ockam_twisted.wire.channel import MAX_BUNDLED, encodeBundle

#: What is larger goes alone: it costs more to copy it than to encrypt it alone, bytes.
LARGEST = 8 * 1024

#: How much goes into one record, bytes.
MOST = 48 * 1024


@implementer(IBundle)
class Bundle:
    """
    The messages of one pass.

    @ivar sources: See L{IBundle}.
    @ivar isWelcome: Has the peer said that it reads them?
    """

    def __init__(self, turn: Turn, sendRecord: Callable[[bytes], object]) -> None:
        """
        @param sendRecord: Sends a plaintext as a record.
        """
        self.sources: set[ISource | Several | None] = set()
        self.isWelcome = False
        self._turn = turn
        self._sendRecord = sendRecord
        self._plaintexts: list[bytes] = []
        self._size = 0
        self._isGathered = False

    def add(self, plaintext: bytes) -> bool:
        """
        A message is to be sent, to a peer that reads bundles.

        @return: It will be; otherwise it is to be sent now, and what was put
            together before has been.
        """
        size = len(plaintext)
        turn = self._turn
        if size > LARGEST or not turn.isPassing:
            if self._plaintexts:
                self.flush()
            return False
        if self._size + size > MOST or len(self._plaintexts) == MAX_BUNDLED:
            self.flush()
        self._plaintexts.append(plaintext)
        self._size += size
        self.sources.add(turn.source)
        if not self._isGathered:
            self._isGathered = True
            turn.gather(self)
        return True

    def send(self) -> None:
        """
        See L{IBundle.send}.
        """
        self._isGathered = False
        self.sources = set()
        self.flush()

    def flush(self) -> None:
        """
        Nothing waits any longer.
        """
        plaintexts, self._plaintexts, self._size = self._plaintexts, [], 0
        if len(plaintexts) == 1:
            self._sendRecord(plaintexts[0])
        elif plaintexts:
            self._sendRecord(encodeBundle(plaintexts))

    def clear(self) -> None:
        """
        The channel is over.
        """
        self._plaintexts, self._size = [], 0
