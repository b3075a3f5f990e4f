"""
A service that others may be connected to.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ockam_twisted.config import OutletConfig
from ockam_twisted.interfaces import ITarget
from ockam_twisted.node import Node
from ockam_twisted.parts.difference import Key
from ockam_twisted.parts.part import Part
from ockam_twisted.places import clientEndpoint
from ockam_twisted.portals.outlet import SocketTarget
from ockam_twisted.reception import Reception


def _what(config: OutletConfig) -> tuple[object, ...]:
    return config.target, config.label, config.proxyProtocol, config.httpHeader


class OutletPart(Part):
    """
    See the module.
    """

    config: OutletConfig

    def __init__(self, key: Key, config: OutletConfig, node: Node, reception: Reception) -> None:
        """
        @param reception: Is open.
        """
        super().__init__(key, config)
        self._node = node
        self._reception = reception
        assert reception.listener is not None
        flows, admission = (reception.listener.flowId,), reception.admissionOf(config)
        self.outlet = node.createOutlet(config.address, self._target(), flows, admission=admission)

    def _target(self) -> ITarget:
        node, config = self._node, self.config
        announces, header = config.proxyProtocol, config.httpHeader
        endpoint, label = clientEndpoint(node.pool, config.target), config.label
        if not header:
            return SocketTarget(node.router, node.sockets, endpoint, label, announces)
        from ockam_twisted.web.target import HTTPTarget

        heldBack = node.sockets.stalls.heldBack
        return HTTPTarget(node.router, node.reactor, endpoint, label, header, announces, heldBack)

    @property
    def inUse(self) -> int:
        """
        See L{Part.inUse}.
        """
        return len(self.outlet.streams)

    def change(self, config: OutletConfig) -> None:
        """
        See L{Part.change}: streams go on to where they went.
        """
        before, self.config = self.config, config
        if _what(before) != _what(config):
            self.outlet.target = self._target()
        self.recheck()

    def recheck(self) -> None:
        """
        Somebody else may be let in: streams of those who may not have them
        any more end.
        """
        self.outlet.admit(self._reception.admissionOf(self.config))

    def retire(self) -> None:
        """
        See L{Part.retire}.
        """
        self.outlet.drain()

    def revive(self) -> None:
        """
        See L{Part.revive}.
        """
        self.outlet.goOn()

    def end(self) -> Deferred[None]:
        """
        See L{Part.end}.
        """
        return self._node.removePortal(self.outlet)
