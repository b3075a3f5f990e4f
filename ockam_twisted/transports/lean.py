"""
Twisted's TCP transports, with fewer system calls for each connection
(C{docs/performance.rst}).
"""

from __future__ import annotations

import socket
import sys

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from ockam_twisted.transports.sockets import isDead, setOptions

#: How most connections end, and how others do.
DONE = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())


class LeanServer(tcp.Server):
    """
    Asks the kernel for nothing when there is nothing to send: Twisted does so
    before each end.  All that end as they should end for the same reason.
    And a reset is none: a reactor that asks the kernel just when one comes may
    hear of an error, and not yet that there is something to be read, which it
    takes for an end.
    """

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """
        See C{tcp.Connection.writeSomeData}.
        """
        return super().writeSomeData(data) if data else 0

    def readConnectionLost(self, reason: Failure) -> None:
        """
        See C{tcp.Connection.readConnectionLost}.
        """
        if isDead(self):
            self.connectionLost(LOST)
        else:
            super().readConnectionLost(reason)

    def connectionLost(self, reason: Failure) -> None:
        """
        See C{tcp.Connection.connectionLost}.
        """
        # Its kinds are known already, and found out anew for each new one.
        super().connectionLost(DONE if type(reason.value) is ConnectionDone else reason)


class _Accepted(LeanServer):
    """
    @ivar inherits: See L{setOptions}.
    """

    inherits = sys.platform.startswith("linux")


class LeanPort(tcp.Port):
    """
    What all connections are to have is set once, before there is one.
    """

    transport = _Accepted

    def createInternetSocket(self) -> socket.socket:
        """
        See C{BasePort.createInternetSocket}.
        """
        listening: socket.socket = super().createInternetSocket()
        setOptions(listening)
        return listening
