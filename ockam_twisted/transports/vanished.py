"""
Peers that are gone without a word: their machine, or the network before it.

While nothing is under way to one, keepalive finds out.  While something is,
TCP would go on for a quarter of an hour; here it is noticed as soon.  Who
merely does not read is not gone: the kernel of its machine still answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from ockam_twisted.transports.hop import HopProtocol
from ockam_twisted.transports.sockets import unanswered

#: Seconds between two looks, and for how long a peer may owe an answer; both
#: together are as long as keepalive takes.
INTERVAL = 2.0
PATIENCE = 23.0


class VanishedWatch:
    """
    See the module.
    """

    def __init__(self, clock: IReactorTime, hops: Callable[[], Iterable[HopProtocol]]) -> None:
        """
        @param hops: The connections there are.
        """
        self._hops = hops
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock

    def start(self) -> None:
        """
        Look from now on.
        """
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """
        Lose the connections with those who are gone.
        """
        for hop in list(self._hops()):
            seconds = unanswered(hop.transport)
            if seconds >= PATIENCE:
                hop.abortConnection(f"nothing of it has come for {seconds:.0f} s, although it has to answer")
