"""
A relay: passes on what it cannot read.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.node import Node


async def main(reactor, listen="4000"):
    node = await Node.create(reactor)
    await node.listen(listen)
    node.createRelayService()
    print(f"Listening: {listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
