"""
An inlet for the outlet of 04_outlet.py, which prints identifier and address: to
the relay of 05_relay.py by Bluetooth Low Energy, from there by TCP, and one
secure channel over both.

The controller is the first one of USB, or what OCKAM_TWISTED_BLE names.
"""

import sys

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.task import react  # noqa: E402

from ockam_twisted.node import Node  # noqa: E402


async def main(reactor, identifier, address, listen="4001", relay="ockam"):
    node = await Node.create(reactor)
    connection = await node.connect(f"ble:{relay}")
    channel = await node.createSecureChannel([*connection, address, "api"], authorized=[identifier])
    await node.createInlet(listen, [channel.encryptor, "outlet"])
    print(f"Try: curl http://127.0.0.1:{listen}", flush=True)
    await Deferred()


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
