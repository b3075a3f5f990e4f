"""
A service that others may be connected to.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from ockam_twisted.config import OutletConfig
from ockam_twisted.interfaces import IAdmission, ITarget
from ockam_twisted.node import Node
from ockam_twisted.parts.difference import Key
from ockam_twisted.parts.part import Part
from ockam_twisted.places import clientEndpoint
from ockam_twisted.portals.datagramoutlet import DatagramOutlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
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
        self.outlet = self._outlet(flows, admission) if config.target else None
        self.datagrams: DatagramOutlet | None = None
        self._hear()

    def _outlet(self, flows: tuple[str, ...], admission: IAdmission) -> Outlet:
        return self._node.createOutlet(self.config.address, self._target(), flows, admission=admission)

    def _hear(self) -> None:
        """
        Take datagrams, if that is asked for.
        """
        config, listener = self.config, self._reception.listener
        assert listener is not None
        if config.udpTarget is not None:
            self.datagrams = self._node.createDatagramOutlet(
                config.address,
                config.udpTarget,
                (listener.flowId,),
                self._reception.admissionOf(config),
                config.udpIdle,
            )

    def _deafen(self) -> Deferred[None]:
        datagrams, self.datagrams = self.datagrams, None
        return succeed(None) if datagrams is None else self._node.removeDatagramPortal(datagrams)

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
        return 0 if self.outlet is None else len(self.outlet.streams)

    def change(self, config: OutletConfig) -> None:
        """
        See L{Part.change}: streams go on to where they went.
        """
        before, self.config = self.config, config
        if self.outlet is not None and not config.target:
            self._node.removePortal(self.outlet)
            self.outlet = None
        elif self.outlet is None and config.target:
            assert self._reception.listener is not None
            self.outlet = self._outlet((self._reception.listener.flowId,), self._reception.admissionOf(config))
        elif self.outlet is not None and _what(before) != _what(config):
            self.outlet.target = self._target()
        if (before.udpTarget, before.udpIdle) != (config.udpTarget, config.udpIdle):
            self._deafen()
            self._hear()
        self.recheck()

    def recheck(self) -> None:
        """
        Somebody else may be let in: streams of those who may not have them
        any more end.
        """
        for each in (self.outlet, self.datagrams):
            if each is not None:
                each.admit(self._reception.admissionOf(self.config))

    def retire(self) -> None:
        """
        See L{Part.retire}.
        """
        for each in (self.outlet, self.datagrams):
            if each is not None:
                each.drain()

    def revive(self) -> None:
        """
        See L{Part.revive}.
        """
        for each in (self.outlet, self.datagrams):
            if each is not None:
                each.goOn()

    def end(self) -> Deferred[None]:
        """
        See L{Part.end}.
        """
        ended = self._deafen()
        outlet = self.outlet
        return ended if outlet is None else ended.addCallback(lambda _: self._node.removePortal(outlet))
