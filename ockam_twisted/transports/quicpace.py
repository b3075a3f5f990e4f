"""
How much QUIC sends at once: congestion control that finds out how fast the road is, after
BBR (draft-ietf-ccwg-bbr), and does not take each loss for a full queue, as C{aioquic}'s own do.

Two numbers describe a road: the rate at which the far end gets what was sent, of which the
largest of the last rounds counts, and the shortest round trip of the last seconds.  Their
product is what is under way when nothing waits in a queue; the window is somewhat more
than that, and now and then much more, to see whether the road has become faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from aioquic.quic.congestion.base import QuicCongestionControl, register_congestion_control

#: What it is called in a configuration.
NAME = "ockam-bbr"

#: The window, in products of rate and round trip: at the beginning, when it looks for
#: more, right after that, and else.
STARTUP, PROBE, DRAIN, CRUISE = 2.885, 2.0, 1.0, 1.5

#: The same of a road on which more than this part of a cycle is lost: its queue may be
#: shorter than the window.
HEAVY, CAREFUL_PROBE, CAREFUL = 0.08, 1.25, 1.1

#: Being careful has helped if less than this part of what was lost before is; that holds for
#: so many cycles.
HELPED, TRUSTED = 0.8, 16

#: So many datagrams that are lost say nothing yet.
FEW = 3

#: Of so many rounds one looks for more; a rate counts for so many.
CYCLE, REMEMBERED = 8, 10

#: The beginning ends once the rate has grown by less than a quarter so many times.
PLATEAU, GROWTH = 3, 1.25

#: Seconds for which a round trip counts, and for which hardly anything is sent then, so that a
#: shorter one would show.
MEASURED, PAUSE = 10.0, 0.2

#: Seconds that the hosts may take, besides the road: acknowledgements are late, and so is
#: who is busy.  On a short road that is more than the rest.
HOSTS = 0.03

#: Datagrams: the smallest window, and what is added to it for acknowledgements that come
#: together.
LEAST, SLACK = 4, 4


class BottleneckControl(QuicCongestionControl):
    """
    See the module.

    @ivar rate: Of the road, bytes a second; 0: not known yet.
    @ivar roundTrip: The shortest, seconds; 0: not known yet.
    """

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.rate = 0.0
        self.roundTrip = 0.0
        self._datagram = max_datagram_size
        self._delivered = self._lost = 0
        self._deliveredAt = self._firstSentAt = 0.0
        # Of each of the last rounds.
        self._rates: deque[float] = deque([0.0], REMEMBERED)
        self._round = 0
        self._roundEnd = 0
        self._cycleBegan = (0, 0)
        self._isStarting = True
        self._plateau = (0.0, 0)
        self._measuredAt = 0.0
        self._pausedUntil = 0.0
        self._isCareful = False
        self._hasHelped = False
        self._lossBefore = 0.0
        self._trusting = 0

    # ---------------------------------------------------------------- sent

    def on_packet_sent(self, *, packet: Any) -> None:
        """
        A datagram has left.
        """
        if not self.bytes_in_flight:
            # What was idle says nothing of the rate, and there is no queue of ours.
            self._deliveredAt = self._firstSentAt = packet.sent_time
            if packet.sent_time - self._measuredAt > MEASURED:
                self._pausedUntil = packet.sent_time
        isLimited = 2 * self.bytes_in_flight < self.congestion_window
        packet.sample = (self._delivered, self._deliveredAt, self._firstSentAt, isLimited)
        self.bytes_in_flight += packet.sent_bytes

    # ----------------------------------------------------------- delivered

    def on_packet_acked(self, *, now: float, packet: Any) -> None:
        """
        A datagram has arrived.
        """
        self.bytes_in_flight -= packet.sent_bytes
        self._delivered += packet.sent_bytes
        self._deliveredAt = now
        delivered, deliveredAt, firstSentAt, isLimited = packet.sample
        self._firstSentAt = packet.sent_time
        if delivered >= self._roundEnd:
            self._nextRound()
        took = max(now - deliveredAt, packet.sent_time - firstSentAt)
        if took >= self.roundTrip and took > 0:
            rate = (self._delivered - delivered) / took
            if rate > self.rate or not isLimited:
                self._rates[-1] = max(self._rates[-1], rate)
                self.rate = max(self.rate, rate)
        self._resize(packet.sent_bytes, now)

    def _nextRound(self) -> None:
        """
        What was sent at the beginning of the last one has arrived.
        """
        self._roundEnd = self._delivered + self.bytes_in_flight
        self._round += 1
        if self._isStarting:
            reached, count = self._plateau
            grown = self.rate >= GROWTH * reached
            self._plateau = (self.rate, 0) if grown else (reached, count + 1)
            self._isStarting = self._plateau[1] < PLATEAU
        if not self._round % CYCLE or self._isStarting:
            delivered, lost = self._delivered - self._cycleBegan[0], self._lost - self._cycleBegan[1]
            self._cycleBegan = self._delivered, self._lost
            self._judge(lost / (lost + delivered) if lost >= FEW * self._datagram else 0.0)
        if self._rates[-1]:
            self._rates.append(0.0)
            self.rate = max(self._rates)

    def _judge(self, loss: float) -> None:
        """
        So much of the last cycle was lost, 0 to 1.  Is it lost because there is too
        much of it?  Then there is less loss with a smaller window.
        """
        if self._isStarting:
            self._isStarting = loss <= HEAVY
        elif self._trusting:
            self._trusting -= 1
        elif not self._isCareful:
            self._lossBefore, self._isCareful, self._hasHelped = loss, loss > HEAVY, False
        elif self._hasHelped:
            # The road may be another one by now.
            self._isCareful = False
        else:
            # Otherwise it is the road that loses.
            self._hasHelped = self._isCareful = loss <= max(HEAVY, HELPED * self._lossBefore)
            self._trusting = TRUSTED

    @property
    def gain(self) -> float:
        """
        The window now, in products of rate and round trip.
        """
        if self._isStarting:
            return STARTUP
        cruise = CAREFUL if self._isCareful else CRUISE
        probe = CAREFUL_PROBE if self._isCareful else PROBE
        return {0: probe, 1: DRAIN}.get(self._round % CYCLE, cruise)

    def _resize(self, arrived: int, now: float) -> None:
        least = LEAST * self._datagram
        if now < self._pausedUntil:
            self.congestion_window = least
            return
        late = 0.0 if self._isCareful else HOSTS
        target = self.gain * self.rate * (self.roundTrip + late) + SLACK * self._datagram
        if self._isStarting:
            # Until more is known, each that has arrived lets two leave.
            wanted = self.congestion_window + arrived
            self.congestion_window = int(
                wanted if self._round < PLATEAU else min(wanted, max(target, wanted - arrived))
            )
        else:
            self.congestion_window = int(min(self.congestion_window + arrived, target))
        self.congestion_window = max(self.congestion_window, least)

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """
        A round trip has taken so long, seconds.
        """
        if rtt <= 0:
            # The clock was set back.
            return
        if not self.roundTrip or rtt <= self.roundTrip:
            self.roundTrip, self._measuredAt = rtt, now
        elif now - self._measuredAt > MEASURED:
            if self._pausedUntil < self._measuredAt + MEASURED:
                self._pausedUntil = now + PAUSE + self.roundTrip
            elif now >= self._pausedUntil:
                # The queue is empty by now.
                self.roundTrip, self._measuredAt = rtt, now

    # ---------------------------------------------------------------- lost

    def on_packets_lost(self, *, now: float, packets: Iterable[Any]) -> None:
        """
        Some have not arrived.
        """
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            self._lost += packet.sent_bytes

    def on_packets_expired(self, *, packets: Iterable[Any]) -> None:
        """
        Nobody waits for these any more.
        """
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes

    def on_persistent_congestion(self) -> None:
        """
        Nothing has arrived for long.
        """
        self.congestion_window = LEAST * self._datagram


register_congestion_control(NAME, BottleneckControl)
