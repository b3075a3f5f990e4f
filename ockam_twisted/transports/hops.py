"""
What all hops of a transport have in common.
"""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from ockam_twisted.interfaces import IRouter
from ockam_twisted.transports.stalls import StallWatch


@define
class HopSettings:
    """
    What all hops of a transport have in common.

    @ivar maxFrame: Largest frame accepted and sent, bytes.
    @ivar highWater: Bytes that may wait for a hop before its feeders pause.
    @ivar versionTimeout: Seconds the peer has to send its version byte.
    @ivar perAddress: Connections accepted from one source address (for IPv6: a
        /64).
    @ivar total: Connections accepted in all.
    """

    router: IRouter
    clock: IReactorTime
    stalls: StallWatch
    maxFrame: int = 1024 * 1024
    highWater: int = 4 * 1024 * 1024
    versionTimeout: float = 10.0
    perAddress: int = 256
    total: int = 4096
