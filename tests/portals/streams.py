"""
What the tests of streams share: a near end that writes down what happens, and
one end of a stream against a peer that is a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from ockam_twisted.interfaces import Buffer, ILocalSide
from ockam_twisted.portals.inletstream import InletStream
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.stream import PortalStream
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.routing.router import Router
from ockam_twisted.testing import Inbox
from tests.portals.common import LoggedTestCase


class _Output:
    def __init__(self) -> None:
        self.data = b""
        self.writes = 0

    def write(self, pieces: Sequence[Buffer], size: int) -> None:
        joined = b"".join(pieces)
        assert len(joined) == size
        self.data += joined
        self.writes += 1


@implementer(ILocalSide)
class NearEnd:
    """
    A near end that writes down what happens.
    """

    def __init__(self) -> None:
        self.output: Any = _Output()
        self.events: list[Any] = []

    def hear(self, data: bytes) -> None:
        self.output.write((data,), len(data))

    def streamOpened(self) -> None:
        self.events.append("opened")

    def streamFinished(self) -> None:
        self.finished = True

    def streamEnded(self, reason: str, clean: bool) -> None:
        self.events.append((reason, clean))

    def streamReset(self, reason: str) -> None:
        self.events.append(reason)


class StreamTestCase(LoggedTestCase):
    """
    One end, against a peer that is a test.
    """

    kind: type[PortalStream] = InletStream

    def setUp(self) -> None:
        super().setUp()
        self.router = Router()
        self.peer = Inbox(self.router, Address.local("peer"))
        self.near = NearEnd()
        self.ended: list[PortalStream] = []
        self.stream: Any = self.kind(self.router, self.near, self.ended.append)

    def say(self, payload: bytes, *surplus: str, back: Route | None = None) -> bool:
        """
        The peer sends.
        """
        onward = Route((self.stream.address,)).append(*map(Address.local, surplus))
        back = Route((self.peer.address,)) if back is None else back
        return self.router.route(LocalMessage(onward, back, payload), self.peer.address)

    def assertEnded(self, reason: str, clean: bool) -> None:
        """
        It has, and nothing is left.
        """
        self.assertIs(self.stream.state, State.ENDED)
        self.assertEqual(self.near.events[-1], (reason, clean))
        self.assertEqual(self.ended, [self.stream])
        self.assertNotIn(self.stream.address, self.router)
