"""
An inlet for the outlet of 02_outlet.py.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from ockam_twisted.node import Node


async def main(reactor, listen="4001", outlet="127.0.0.1:4000"):
    node = await Node.create(reactor)
    connection = await node.connect(outlet)
    await node.createInlet(listen, [*connection, "outlet"])
    print(f"Try: curl http://127.0.0.1:{listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
