"""
The relay that is one process: nobody else has to know its names.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ockam_twisted.interfaces import IRelayDirectory
from ockam_twisted.routing.addresses import Address


@implementer(IRelayDirectory)
class NoDirectory:
    """
    See the module.
    """

    def added(self, relay: Any) -> Deferred[None]:
        """
        See L{IRelayDirectory.added}.
        """
        return succeed(None)

    def removed(self, address: Address) -> None:
        """
        See L{IRelayDirectory.removed}.
        """
