"""
A node of ours in the process of the test, beside Rust nodes in processes of
their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.node import Node
from ockam_twisted.places import now
from ockam_twisted.storage.memory import MemoryStore
from tests.interop.peers import RELEASES, InteropTestCase, peerProgram
from tests.scenarios.processes import PATIENCE, eachVariant, freePort


def _released(test: Callable[..., Any], release: str) -> Callable[..., Any]:
    async def run(self: NodeTestCase) -> None:
        self.release = release
        peerProgram(release)
        await test(self)

    return run


#: Have every test of a class once for each release, which is C{self.release}.
eachRelease = eachVariant(*RELEASES, call=_released)


class NodeTestCase(InteropTestCase, TestCase):
    """
    Tests with a node of ours in this process.

    What waits for a Rust process does so in a thread: it may wait for us.

    @ivar release: Of the Rust nodes in this test.
    """

    release = ""
    timeout = 120

    async def node(self, store: MemoryStore | None = None, kind: int = 0) -> Node:
        """
        A node that is stopped after the test.

        @param kind: Of the key of a new identity: 0 is Ed25519, 1 is P-256.
        """
        node = Node(reactor, store)
        if kind:
            await loadOrCreate(node.vault, node.store, now(), kind)
        await node.loadIdentity()
        node.startService()
        self.addCleanup(node.stopService)
        return node

    def port(self) -> int:
        """
        A port for a Rust node.
        """
        return freePort()

    async def listening(self, node: Node) -> int:
        """
        Make a node of ours listen.

        @return: Its port.
        """
        port = await node.listen("tcp:0:interface=127.0.0.1")
        number: int = port.getHost().port  # type: ignore[attr-defined]
        return number

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """
        Wait, without blocking, until C{condition()} holds.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"in vain: {what}")
            await deferLater(reactor, 0.02)  # type: ignore[arg-type]
