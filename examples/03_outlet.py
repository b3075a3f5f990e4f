"""
An outlet that is reached through a secure channel only.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node


async def main(reactor, listen="4000", target="127.0.0.1:5000"):
    node = await Node.create(reactor)
    await node.listen(listen)
    listener = node.createSecureChannelListener(TrustEveryone())
    node.createOutlet("outlet", target, consumerOf=[listener.flowId])
    print(f"Identifier: {node.identifier}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
