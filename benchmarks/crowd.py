"""
Nodes that the measurements of growth need and that no command starts, run as a program of its own.

C{python crowd.py relay PORT [PREVIOUS NAME]}: a relay, itself registered under a name at the relay at another port.
C{python crowd.py outlets COUNT RELAY}: so many idle nodes, each registered at a relay under a name of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node


async def _relay(clock: Any, port: str, previous: str = "", name: str = "") -> None:
    node = await Node.create(clock)
    await node.listen(f"tcp:{port}:interface=127.0.0.1")
    ways = [node.transport.listenerId]
    road = None
    if previous:
        road = await node.connect(f"127.0.0.1:{previous}")
        ways.append(str(node.router.flowControls.producerId(road[0])))
    # Outlets prove who they are, for the name they ask for.
    listener = node.createSecureChannelListener(TrustEveryone(), consumerOf=ways)
    node.createRelayService(consumerOf=ways, listener=listener)
    if road is not None:
        await node.createRelay(road, name)


async def _outlets(clock: Any, count: str, relay: str) -> None:
    for number in range(int(count)):
        node = await Node.create(clock)
        # Each from an address of its own, as elsewhere: a relay gives few names to one.
        road = await node.connect(f"tcp:host=127.0.0.1:port={relay}:bindAddress=127.1.0.{number + 1}")
        await node.createRelay(road, reachable=("echo",))


async def main(clock: Any, role: str, *arguments: str) -> None:
    """Be there until killed."""
    await {"relay": _relay, "outlets": _outlets}[role](clock, *arguments)
    print(f"Ready: {role}", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(lambda clock, *arguments: Deferred.fromCoroutine(main(clock, *arguments)), sys.argv[1:], reactor)
