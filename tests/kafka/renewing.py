"""
A download through a stream, whose way is replaced again and again for the bytes that it
has carried: C{python renewing.py BROKER-PORT}.  Says what has arrived, and over how
many ways.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import react

from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.node import Node
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import WayAttempt
from ockam_twisted.sessions.session import Session
from tests.scenarios.processes import freePort
from tests.scenarios.test_renewal import MIB, Giver, Taker


async def main(reactor: Any, broker: str) -> None:
    """
    See the module.
    """
    routes: list[Any] = []
    giver, taker = Giver(64 * MIB, routes), Taker()
    target = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: giver))
    outlet, inlet = await Node.create(reactor), await Node.create(reactor)
    await outlet.listen(f"kafka:127.0.0.1:{broker}:blue")
    listener = outlet.createSecureChannelListener(TrustIdentifier(inlet.identifier))
    outlet.createOutlet("outlet", f"127.0.0.1:{target.getHost().port}", (listener.flowId,))
    address = MultiAddr.fromText(f"/ip4/127.0.0.1/tcp/{broker}/kafka/blue/secure/api/service/outlet")
    attempt = WayAttempt(inlet.walk, address, TrustIdentifier(outlet.identifier))
    # Time alone would replace it ten times a second.
    way = inlet.addSession(Session(reactor, attempt, "the way", renewAfter=0.1, renewBytes=16 * MIB))
    way.changed(routes.append)
    port = freePort()
    await inlet.createInlet(f"tcp:{port}:interface=127.0.0.1", way)
    await way.whenUp()
    await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(lambda: taker))
    await taker.done
    isSame = (taker.size, taker.digest.digest()) == (giver.size, giver.digest.digest())
    print(f"Same: {isSame}\nLost: {None in routes}\nWays: {len(routes)}", flush=True)
    await inlet.stopService()
    await outlet.stopService()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
