"""
A relay between Bluetooth and TCP: inlets come to it by Bluetooth Low Energy,
outlets (04_outlet.py) by TCP, and it passes on what it cannot read.

The controller is the first one of USB, or what OCKAM_TWISTED_BLE names.
"""

import sys

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.task import react  # noqa: E402

from ockam_twisted.node import Node  # noqa: E402


async def main(reactor, name="ockam", listen="4000"):
    node = await Node.create(reactor)
    await node.listen(f"ble:{name}")
    await node.listen(listen)
    node.createRelayService()
    print(f"Listening: {name}, {listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
