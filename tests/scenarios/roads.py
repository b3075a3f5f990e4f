"""
The transports, each with how a node listens and how it is reached: one row for
each, for tests of all of them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.certificates import makeCertificate
from tests.scenarios.processes import freePort


def _connectTCP(place: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", place), 10)


def _connectUDP(place: Any) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.connect(("127.0.0.1", place))
    return connection


def _connectUNIX(place: Any) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    return connection


@frozen
class Kind:
    """
    One transport.

    @ivar listen: The endpoint string to listen at a place.
    @ivar to: The MultiAddr of a place.
    @ivar connect: Connects a plain socket to a place, for who says what he
        should not.
    @ivar isLocal: Is a place a path?  Otherwise it is a port.
    @ivar isOrdered: Does everything arrive, in order?  Otherwise nobody is told
        whether somebody is there, either.
    @ivar silence: May who says nothing stay?  There is no word that would have
        to come first.
    """

    listen: str
    to: str
    connect: Callable[[Any], socket.socket] = _connectTCP
    isLocal: bool = False
    silence: bool = False
    isOrdered: bool = True


#: C{HERE} is the place, C{FOLDER} the folder of the test.
KINDS = {
    "tcp": Kind("tcp:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/tcp/HERE"),
    "tls": Kind("tls:FOLDER:HERE:interface=127.0.0.1", "/dnsaddr/localhost/tcp/HERE/tls"),
    "ws": Kind("ws:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/tcp/HERE/ws"),
    "wss": Kind("wss:FOLDER:HERE:interface=127.0.0.1", "/dnsaddr/localhost/tcp/HERE/wss"),
    "udp": Kind("udp:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/udp/HERE", _connectUDP, silence=True, isOrdered=False),
    "quic": Kind("quic:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/udp/HERE/quic", _connectUDP, silence=True),
    "uds": Kind("uds:HERE", "/unix/HERE", _connectUNIX, True, True),
}


class Places:
    """
    Makes places of a test, and what belongs to them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        makeCertificate(folder, "localhost")
        os.environ["SSL_CERT_FILE"] = str(folder / "localhost.pem")
        self._count = 0

    def close(self) -> None:
        """
        Trust whom others trust.
        """
        del os.environ["SSL_CERT_FILE"]

    def place(self, kind: str) -> Any:
        """
        A new place.
        """
        self._count += 1
        return f"{self._folder}/{self._count}.sock" if KINDS[kind].isLocal else freePort()

    def listen(self, kind: str, place: Any) -> str:
        """
        The endpoint string to listen there.
        """
        return KINDS[kind].listen.replace("HERE", str(place)).replace("FOLDER", str(self._folder))

    def to(self, kind: str, place: Any) -> str:
        """
        The MultiAddr to get there.
        """
        return KINDS[kind].to.replace("HERE", str(place).replace("/", "%2F"))
