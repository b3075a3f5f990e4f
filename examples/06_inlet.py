"""
An inlet for the outlet of 06_outlet.py, which prints the identifier: a secure channel
through a broker that keeps what is sent, and reads nothing.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.node import Node


async def main(reactor, identifier, listen="4001", broker="127.0.0.1:9092", stream="ockam"):
    node = await Node.create(reactor)
    connection = await node.connect(f"kafka:{broker}:{stream}")
    channel = await node.createSecureChannel([*connection, "api"], authorized=[identifier])
    await node.createInlet(listen, [channel.encryptor, "outlet"])
    print(f"Try: curl http://127.0.0.1:{listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
