"""
A reset at one end is a reset at the other one, in whatever state they are, as
on a direct connection; and who cannot be connected is told so at once.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from tests.scenarios.pairs import PairTestCase, ending, fill, reset
from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, eachVariant, freePort

#: Seconds until the other end knows: sockets that are not read from are looked
#: at once a second.
SOON = 4.0

#: The same if it does not read: what came before the reset is given to it, for
#: five seconds.
LATER = SOON + 6.0

#: How long a target may take to answer, in seconds: what an outlet waits for
#: it, and what a busy machine adds.
UNANSWERED = 12.0

#: A client would be kept for so long if nobody told it.
KEPT = 60.0

Prepare = Callable[[socket.socket, socket.socket], object]


def _nothing(resets: socket.socket, sees: socket.socket) -> None:
    pass


def _unread(resets: socket.socket, sees: socket.socket) -> None:
    resets.sendall(b"one")
    sees.sendall(b"other")


def _full(resets: socket.socket, sees: socket.socket) -> None:
    fill(resets)
    fill(sees)


def _halfClosed(resets: socket.socket, sees: socket.socket) -> None:
    resets.shutdown(socket.SHUT_WR)
    ending(sees)


def _otherHalfClosed(resets: socket.socket, sees: socket.socket) -> None:
    sees.shutdown(socket.SHUT_WR)
    ending(resets)


def _halfClosedAndFull(resets: socket.socket, sees: socket.socket) -> None:
    _halfClosed(resets, sees)
    fill(sees)


def _otherHalfClosedAndFull(resets: socket.socket, sees: socket.socket) -> None:
    _otherHalfClosed(resets, sees)
    fill(resets)


@eachVariant("client", "target")
class ResetTests(PairTestCase):
    """
    Either end resets; nobody reads or writes, so that only the reset can tell.
    """

    def _compare(self, who: str, *prepare: Prepare) -> None:
        for each in prepare:
            seen = []
            for port in (self.direct, self.port):
                client, target = self.pair(port)
                resets, sees = (client, target) if who == "client" else (target, client)
                each(resets, sees)
                reset(resets)
                errors = select.poll()
                errors.register(sees, 0)
                self.assertTrue(errors.poll(LATER * 1000), f"{each}: the other end does not know")
                seen.append(sees.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self.assertEqual(seen[0], seen[1], each)
            self.assertNotEqual(seen[1], 0, each)

    def test_open(self, who: str) -> None:
        """
        With nothing on the way, with a few bytes that nobody has read, and
        with all windows full both ways or one way.
        """
        self._compare(who, _nothing, _unread, _full, lambda resets, sees: fill(resets), lambda resets, sees: fill(sees))

    def test_halfClosed(self, who: str) -> None:
        """
        After one of the two has ended its direction.
        """
        self._compare(who, _halfClosed, _otherHalfClosed, _halfClosedAndFull, _otherHalfClosedAndFull)


class RefusalTests(ScenarioTestCase):
    """
    A target that cannot be connected.
    """

    def _refused(self, target: str, reason: str, seconds: float) -> None:
        port, inlet, _, outlet = self.portal(target, inletOptions=("--connect-timeout", str(int(KEPT))))
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.settimeout(PATIENCE)
            # Also for who has sent something already.
            client.sendall(b"are you there?")
            self.assertEqual(ending(client), "RST")
        self.assertLess(time.monotonic() - begun, seconds)
        self._said(outlet, f"The target {target} does not answer", reason)
        self._said(inlet, "A client was refused", "the outlet says", reason)

    def _said(self, program: Program, log: str, *texts: str) -> None:
        """
        There is an event, in JSON, with all of these in it.
        """
        program.waitForText(log)
        line = next(line for line in program.text().splitlines() if log in line)
        for text in texts:
            self.assertIn(text, line)

    def test_refused(self) -> None:
        """
        Nobody listens there.
        """
        self._refused(f"127.0.0.1:{freePort()}", "refused", SOON)

    def test_unreachable(self) -> None:
        """
        There is no way there: nobody can connect to a group of machines.
        """
        self._refused("224.0.0.1:9", "unreachable", SOON)

    def test_timedOut(self) -> None:
        """
        There is no answer from there: the client is told as soon as the
        outlet gives up, not when the inlet would.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            at = silent.getsockname()
            # Once nobody is accepted and there is no room, Linux is silent.
            for _ in range(2):
                waits = socket.socket()
                self.addCleanup(waits.close)
                waits.setblocking(False)
                waits.connect_ex(at)
            self._refused(f"127.0.0.1:{at[1]}", "no answer within", UNANSWERED)

    def test_unknown(self) -> None:
        """
        Its name means nothing.
        """
        self._refused("no-such-host.invalid:80", "no-such-host.invalid", UNANSWERED)
