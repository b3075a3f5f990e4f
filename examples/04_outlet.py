"""
An outlet without a listening port, reached through the relay of 04_relay.py.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node


async def main(reactor, relay="127.0.0.1:4000", target="127.0.0.1:5000"):
    node = await Node.create(reactor)
    listener = node.createSecureChannelListener(TrustEveryone())
    node.createOutlet("outlet", target, consumerOf=[listener.flowId])
    registration = await node.createRelay(await node.connect(relay), reachable=["api"])
    print(f"Identifier: {node.identifier}", flush=True)
    print(f"Forwarding address: {registration.address.value.decode()}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
