"""
What running processes hold: objects, open files and memory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.scenarios.faults import FaultTestCase
from tests.scenarios.processes import PATIENCE, Program

#: What there must not be one more of; of all others, values and entries of
#: caches and tables, a few.
_EXACT = frozenset(
    (
        "open files",
        "ockam_twisted.portals.attachment.Attachment",
        "ockam_twisted.portals.extension.Extension",
        "ockam_twisted.portals.exchange.Exchange",
        "ockam_twisted.portals.inlet.InletSocket",
        "ockam_twisted.portals.socket.PortalSocket",
        "ockam_twisted.portals.stream.PortalStream",
        "ockam_twisted.relays.relay.Relay",
        "twisted.internet.tcp.Client",
        "twisted.internet.tcp.Server",
    )
)
_SPARE = 32

#: A source remembers whom it has fed, dead or alive, up to so many; an output
#: who has fed it last; the reactor calls that were canceled, for a while; an
#: outlet the streams that have ended, for C{--resume-timeout} seconds; and an
#: attempt that has just failed what it had made.  Short messages of streams are
#: read once.
_MORE = {
    "ockam_twisted.routing.inbound.Inbound": 64,
    "ockam_twisted.wire.extension.Credit": 256,
    "ockam_twisted.wire.extension.Finished": 256,
    # What was logged lately, for repetitions of it: 16 of each event, forgotten in time.
    "ockam_twisted.ops.repeats._Count": 200,
    "ockam_twisted.channels.channel.SecureChannel": 2,
    "ockam_twisted.portals.tombstones.Tombstone": 64,
    "ockam_twisted.routing.addresses.Address": 128,
    "ockam_twisted.routing.addresses.Route": 64,
    "ockam_twisted.transports.queue.DirectQueue": 256,
    "ockam_twisted.transports.stream.MessageStreamProtocol": 4,
    "twisted.internet.base.DelayedCall": 64,
}


def objects(program: Program) -> dict[str, int]:
    """
    Ask a process that was started by L{CountedTestCase}.

    @return: How many objects it has of each class.
    """
    answer = program.log.parent / f"counts-{program.pid}.json"
    answer.unlink(missing_ok=True)
    os.kill(program.pid, signal.SIGUSR2)
    deadline = time.monotonic() + PATIENCE
    while not answer.exists():
        if time.monotonic() > deadline:
            raise AssertionError(f"{program.process.args} does not count:\n{program.text()[-3000:]}")
        time.sleep(0.05)
    return {str(name): int(number) for name, number in json.loads(answer.read_text()).items()}


def leaks(before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> dict[str, str]:
    """
    @return: Of what there is more than before, by process, and how much.
    """
    return {
        f"{host}: {name}": f"{was} -> {number}"
        for host, numbers in now.items()
        for name, number in numbers.items()
        if number > (was := before[host].get(name, 0)) + (0 if name in _EXACT else _MORE.get(name, _SPARE))
    }


class CountedTestCase(FaultTestCase):
    """
    With processes that can be asked for what they hold.
    """

    def command(self) -> list[str]:
        """
        What runs a plugin.
        """
        return [sys.executable, str(Path(__file__).with_name("counted.py")), "--log-format=text"]

    def holding(self, *hosts: str) -> dict[str, dict[str, int]]:
        """
        What the processes on these hosts hold, now.
        """
        return {host: {"open files": self.programs[host].openFiles(), **objects(self.programs[host])} for host in hosts}

    def leaked(self, before: dict[str, dict[str, int]]) -> dict[str, str]:
        """
        @return: Of what there is more than before, and how much.
        """
        return leaks(before, self.holding(*before))

    def settle(self, before: dict[str, dict[str, int]], patience: float = PATIENCE) -> None:
        """
        Nothing is left of what has ended, or soon is not.
        """
        deadline = time.monotonic() + patience
        while (leaked := self.leaked(before)) and time.monotonic() < deadline:
            time.sleep(1)
        self.assertFalse(leaked, "\n".join(f"{what}: {numbers}" for what, numbers in sorted(leaked.items())))
