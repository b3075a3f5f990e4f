"""
One node, no transport: clients of 127.0.0.1:4001 reach the service at 5000.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.node import Node


async def main(reactor, listen="4001", target="127.0.0.1:5000"):
    node = await Node.create(reactor)
    node.createOutlet("outlet", target)
    await node.createInlet(listen, "outlet")
    print(f"Try: curl http://127.0.0.1:{listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
