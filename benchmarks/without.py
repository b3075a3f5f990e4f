"""
Runs C{twist} without one of the techniques of the fast path: C{python without.py TECHNIQUE ARGUMENT...}.

They are taken out of the package from here; it has no switch for any of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def _replace(owner: Any, name: str, by: object) -> None:
    """Put something in the place of what must be there."""
    getattr(owner, name)
    setattr(owner, name, by)


def pool() -> None:
    """The reactor looks after each socket, and each turn flushes for itself."""
    from ockam_twisted import node

    _replace(node, "pooled", lambda reactor, begin, end: reactor)


def bundles() -> None:
    """Each message has a record of its own."""
    from ockam_twisted.channels import bundle

    _replace(bundle.Bundle, "add", lambda self, plaintext: False)


def passes() -> None:
    """A pass goes over all sockets that are ready."""
    from ockam_twisted.transports import pool

    _replace(pool, "MAX_READY", 128)


def poller() -> None:
    """The kernel is told of each change at once."""
    from ockam_twisted.transports import poller

    _replace(poller.Poller, "begin", lambda self: None)


def pieces() -> None:
    """What is sent in one call is joined first."""
    from ockam_twisted.transports import queue

    _replace(queue, "_MOST_PIECES", 0)


def credit() -> None:
    """What waits for credit then waits for the reactor."""
    from ockam_twisted.portals import extension

    _replace(extension.Extension, "_pumpAfterwards", extension.Extension._wake)


def direct() -> None:
    """The reactor does all sending."""
    from ockam_twisted.transports import queue

    _replace(queue, "isPlainSocket", lambda transport: False)


def flows() -> None:
    """Each message finds its receiver, and has its routes encoded, anew."""
    from ockam_twisted.routing import router

    class Mailbox(router._Mailbox):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            self.takesFlows = False

    _replace(router, "_Mailbox", Mailbox)


def reads() -> None:
    """Sockets are read from in pieces of 64 KiB and 48 KiB."""
    from ockam_twisted import node
    from ockam_twisted.transports import local, stream

    _replace(stream, "HOP_READ", 64 * 1024)

    def sockets(turn: object, stalls: object) -> local.LocalSockets:
        return local.LocalSockets(turn, stalls, 48 * 1024)  # type: ignore[arg-type]

    _replace(node, "LocalSockets", sockets)


def memory() -> None:
    """The C library gives freed memory back at once."""
    from ockam_twisted.transports import service

    _replace(service, "keepFreedMemory", lambda: False)


def early() -> None:
    """What a client has said waits for Pong."""
    from ockam_twisted.transports import local

    _replace(local.LocalSockets, "take", lambda self, transport: b"")


def dialing() -> None:
    """Targets are dialled with Twisted's own endpoint."""
    from ockam_twisted.transports import dialing

    _replace(dialing, "canDial", lambda reactor: False)


def garbage() -> None:
    """The garbage collector works as often as it does by default."""
    import gc

    from ockam_twisted.tap import garbage

    usual = type("gc", (), {"collect": gc.collect, "freeze": gc.freeze, "set_threshold": lambda *_: None})
    _replace(garbage, "gc", usual)


TECHNIQUES: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (pool, passes, bundles, poller, direct, pieces, credit, flows, reads, memory, early, dialing, garbage)
}


def main() -> None:
    """Take it out, then be C{twist}."""
    from twisted.application.twist import _twist

    TECHNIQUES[sys.argv[1]]()
    _twist.Twist.main(["twist", *sys.argv[2:]])


if __name__ == "__main__":
    main()
