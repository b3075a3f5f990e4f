"""
A bad road between two network namespaces: C{python road.py SEED HERE THERE
HERE-DEVICE THERE-DEVICE}.

Makes a TUN device in each of the two namespaces and carries packets between
them, each direction by itself: late, out of order, not all of them, not more
than so many in a second, or none.  What netem would do, for kernels without
it; the TCP that runs over it is the kernel's.

Says C{Road: open}, then obeys lines of JSON from standard input: the names of
L{Direction}'s conditions with new values, and optionally C{"only": "there"} or
C{"only": "back"}.  Each line is answered by one, with what was carried and
dropped so far.  The end of input is the end of the road.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x1, 0x1000
_CLONE_NEWNET = 0x40000000

#: The largest packet, and how many are taken at once.
_PACKET, _AT_ONCE = 65536, 256


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """
    Sockets and devices that this thread makes meanwhile are in a namespace.
    """
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(here)
    finally:
        os.close(here)
        os.close(there)


def makeDevice(namespace: str, device: str) -> int:
    """
    @return: The descriptor of a new TUN device.
    """
    with entered(namespace):
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode("ascii"), _IFF_TUN | _IFF_NO_PI))
    return descriptor


class Direction:
    """
    One direction, and its conditions.

    @ivar delay: How late a packet is, seconds.
    @ivar jitter: How much later it may be, seconds; packets overtake others.
    @ivar loss: How many get lost, 0 to 1.
    @ivar reorder: How many go without any delay, before those that came
        earlier, 0 to 1.
    @ivar rate: Bytes in a second; 0: as many as there are.
    @ivar queue: Bytes that may wait for their turn because of the rate; what
        comes then is dropped.
    @ivar closed: Nothing passes, not even what is on its way.
    """

    CONDITIONS = {"delay": 0.0, "jitter": 0.0, "loss": 0.0, "reorder": 0.0, "rate": 0, "queue": 65536, "closed": False}

    def __init__(self, source: int, destination: int, chance: random.Random) -> None:
        self.source = source
        self.conditions = dict(self.CONDITIONS)
        self.carried = self.dropped = self.bytes = 0
        self._destination = destination
        self._chance = chance
        self._waiting: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._free = 0.0

    def change(self, **conditions: Any) -> None:
        """
        Let the road be another one from now on.
        """
        unknown = conditions.keys() - self.CONDITIONS.keys()
        if unknown:
            raise ValueError(f"no such condition: {', '.join(sorted(unknown))}")
        self.conditions.update(conditions)
        if self.conditions["closed"]:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._free = 0.0

    def take(self) -> None:
        """
        Packets have come.
        """
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.source, _PACKET)
            except BlockingIOError:
                return
            self._accept(packet, time.monotonic())

    def _accept(self, packet: bytes, now: float) -> None:
        conditions, chance = self.conditions, self._chance
        leaves, rate = now, conditions["rate"]
        if conditions["closed"] or chance.random() < conditions["loss"]:
            self.dropped += 1
            return
        if rate:
            if (self._free - now) * rate > conditions["queue"]:
                self.dropped += 1
                return
            leaves = self._free = max(self._free, now) + len(packet) / rate
        if chance.random() >= conditions["reorder"]:
            leaves += conditions["delay"] + chance.random() * conditions["jitter"]
        if leaves <= now and not self._waiting:
            self._deliver(packet)
        else:
            self._count += 1
            heapq.heappush(self._waiting, (leaves, self._count, packet))

    def deliver(self) -> float | None:
        """
        Let arrive what is due.

        @return: Seconds until more is.
        """
        waiting = self._waiting
        while waiting:
            left = waiting[0][0] - time.monotonic()
            if left > 0:
                return left
            self._deliver(heapq.heappop(waiting)[2])
        return None

    def _deliver(self, packet: bytes) -> None:
        try:
            os.write(self._destination, packet)
        except OSError:
            # The device is not configured yet.
            self.dropped += 1
        else:
            self.carried += 1
            self.bytes += len(packet)


def obey(directions: dict[str, Direction], line: bytes) -> str:
    """
    @return: The answer.
    """
    conditions = json.loads(line)
    only = conditions.pop("only", None)
    for name, direction in directions.items():
        if only in (None, name):
            direction.change(**conditions)
    return json.dumps({name: [each.carried, each.dropped, each.bytes] for name, each in directions.items()})


def main(seed: str, here: str, there: str, hereDevice: str, thereDevice: str) -> None:
    """
    See the module.
    """
    first, second = makeDevice(here, hereDevice), makeDevice(there, thereDevice)
    chance = random.Random(int(seed))
    directions = {"there": Direction(first, second, chance), "back": Direction(second, first, chance)}
    selector = selectors.DefaultSelector()
    for direction in directions.values():
        selector.register(direction.source, selectors.EVENT_READ, direction)
    os.set_blocking(0, False)
    selector.register(0, selectors.EVENT_READ)
    print("Road: open", flush=True)
    asked = b""
    while True:
        dues = [due for each in directions.values() if (due := each.deliver()) is not None]
        for key, _ in selector.select(min(dues) if dues else None):
            if key.data is not None:
                key.data.take()
                continue
            data = os.read(0, 4096)
            if not data:
                return
            *lines, asked = (asked + data).split(b"\n")
            for line in lines:
                print(obey(directions, line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
