"""
An outlet behind a stream of Apache Kafka: it connects to the broker, and has no
listening port.  Whoever is cut off for a while, goes on where he was.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node


async def main(reactor, broker="127.0.0.1:9092", target="127.0.0.1:5000", stream="ockam"):
    node = await Node.create(reactor)
    listener = node.createSecureChannelListener(TrustEveryone())
    node.createOutlet("outlet", target, consumerOf=[listener.flowId])
    await node.listen(f"kafka:{broker}:{stream}")
    print(f"Identifier: {node.identifier}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
