"""
An outlet that other nodes reach over TCP, not encrypted: see 03.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.node import Node


async def main(reactor, listen="4000", target="127.0.0.1:5000"):
    node = await Node.create(reactor)
    await node.listen(listen)
    node.createOutlet("outlet", target, consumerOf=[node.transport.listenerId])
    print(f"Listening: {listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
