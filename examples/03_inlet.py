"""
An inlet for the outlet of 03_outlet.py, which prints its identifier.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.node import Node


async def main(reactor, identifier, listen="4001", outlet="127.0.0.1:4000"):
    node = await Node.create(reactor)
    connection = await node.connect(outlet)
    channel = await node.createSecureChannel([*connection, "api"], authorized=[identifier])
    await node.createInlet(listen, [channel.encryptor, "outlet"])
    print(f"Try: curl http://127.0.0.1:{listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
