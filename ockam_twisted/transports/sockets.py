"""
What we ask of the kernel and of the C library for a socket on the fast path.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import sys
import termios
from array import array
from collections.abc import Iterator
from struct import Struct
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import ISSLTransport

#: Seconds of silence before the kernel probes the peer, between probes, and
#: how many may be lost: a vanished peer is noticed after 10 + 3 * 5 seconds.
KEEPALIVE_IDLE = 10
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3

#: Read size of hop connections, and what one send may take.  Large reads
#: pay only together with L{keepFreedMemory}.
HOP_READ = 512 * 1024
#: Read size while what is read takes long to be dealt with.
HOP_READ_SMALL = 16 * 1024
SEND_LIMIT = 1024 * 1024

#: Milliseconds between two tries of the kernel to send the same, or to learn
#: whether a peer that was full has room again, at most.  Without that it may
#: be two minutes.
RETRY_LIMIT = 5000

#: Of C{struct tcp_info}: how often the first unacknowledged segment was sent
#: again, how many questions for room are without an answer, and for how many
#: milliseconds neither data nor an acknowledgment has come.
_INFO = Struct("=2xBB48xII")

#: The same: how many segments came after one that is missing (since Linux 5.4).
_BEHIND_A_GAP = Struct("=224xI")

#: C{struct ucred}.
_CREDENTIALS = Struct("=iII")

#: An option that Python has no name for.
_TCP_RTO_MAX_MS = 44

#: What every TCP socket gets, as far as a system has it.  The last one is there
#: since Linux 6.15.
_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
_OPTIONS += [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    )
    if hasattr(socket, name)
]
if sys.platform.startswith("linux"):
    _OPTIONS.append((socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, RETRY_LIMIT))

#: TLS, PROXY and the like, above one socket.
_MAX_WRAPPERS = 8

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keepFreedMemory() -> bool:
    """
    Ask glibc not to return the memory of every freed read buffer to the
    kernel.  Elsewhere nothing happens.

    @return: Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 25) and mallopt(_M_TRIM_THRESHOLD, 1 << 26))


def isPlainSocket(transport: object) -> bool:
    """
    Are bytes given to C{writeSomeData} the bytes on the wire?  Only a TCP or
    Unix socket without TLS will do; wrappers pass the method through, so the
    type is what counts.
    """
    return isinstance(transport, tcp.Connection) and not transport.TLS


def prepareSocket(transport: Any, read: int) -> None:
    """
    Set C{TCP_NODELAY}, keepalive and buffer sizes as far as C{transport} has
    them, or what is below it.

    @param read: How much to read at once, bytes.
    """
    if isPlainSocket(transport):
        transport.bufferSize = read
        transport.SEND_LIMIT = SEND_LIMIT
    # Its socket has what the listening one has.
    if getattr(type(transport), "inherits", False):
        return
    handle = _socketOf(transport)
    if handle is not None:
        setOptions(handle)


def setOptions(handle: socket.socket) -> None:
    """
    Set C{TCP_NODELAY} and keepalive.  On Linux connections inherit them from
    the socket that has accepted them.
    """
    # Only TCP has these, and some systems refuse them once the peer has reset
    # the connection.
    try:
        for level, option, value in _OPTIONS:
            handle.setsockopt(level, option, value)
    except OSError:
        pass


def _socketOf(transport: Any) -> socket.socket | None:
    """
    The socket below a transport, however much there is in between.
    """
    for layer in _layers(transport):
        if isinstance(layer, tcp.Connection):
            return getattr(layer, "socket", None)
    return None


def _layers(transport: Any) -> Iterator[Any]:
    """
    A transport, and what is below it.
    """
    for _ in range(_MAX_WRAPPERS):
        if transport is None:
            return
        yield transport
        transport = getattr(transport, "transport", None)


def peerFacts(transport: Any) -> tuple[tuple[str, str], ...]:
    """
    What others than itself say of the other end of a connection: of a Unix
    socket, the kernel, C{uid}, C{gid} and C{pid}; of TLS, the authority that
    we trust, C{certificate}: the name that it was issued to.

    @return: Names and values.
    """
    facts: list[tuple[str, str]] = []
    option = getattr(socket, "SO_PEERCRED", None)
    handle = _socketOf(transport)
    if handle is not None and option is not None and handle.family == socket.AF_UNIX:
        try:
            numbers = _CREDENTIALS.unpack(handle.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
        except OSError:
            return ()
        facts += zip(("pid", "uid", "gid"), map(str, numbers), strict=True)
    for layer in _layers(transport):
        if ISSLTransport.providedBy(layer):
            certificate = layer.getPeerCertificate()
            if certificate is not None:
                facts.append(("certificate", _issuedTo(certificate)))
            break
    return tuple(facts)


def _issuedTo(certificate: Any) -> str:
    """
    The first name of a host in it, or else its common name.
    """
    from cryptography import x509

    plain = certificate.to_cryptography()
    try:
        names = plain.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        found = []
    found += [str(each.value) for each in plain.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    return found[0] if found else ""


def unanswered(transport: Any) -> float:
    """
    For how long has the kernel of the peer owed us a word?  It answers what
    it gets, and whether it has room for more, even if its program is stopped
    or does not read: what does not answer is gone.

    @return: Seconds; 0 if it owes none, or nobody can tell.
    """
    retransmits, probes, data, acknowledgment = _infoOf(transport, _INFO)
    # One may just be under way.
    return min(data, acknowledgment) / 1000 if max(retransmits, probes) >= 2 else 0.0


def behindGap(transport: Any) -> int:
    """
    How many segments did its kernel get so far that it had to keep, because
    one before them was lost?

    @return: 0 if nobody can tell.
    """
    (count,) = _infoOf(transport, _BEHIND_A_GAP)
    return count


def _infoOf(transport: Any, fields: Struct) -> tuple[int, ...]:
    """
    @return: Fields of C{TCP_INFO}; all 0 where there is none, or it is shorter.
    """
    none = fields.unpack(bytes(fields.size))
    handle = _socketOf(transport)
    option = getattr(socket, "TCP_INFO", None) if sys.platform.startswith("linux") else None
    if handle is None or option is None or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return none
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, option, fields.size)
    except OSError:
        return none
    return fields.unpack(info) if len(info) == fields.size else none


def endHalf(transport: Any) -> bool:
    """
    End our direction of a plain socket at once, behind what the kernel has:
    that would ask for our last word only when it has room.

    @return: L{False} if the peer has reset it, which the kernel tells once.
    """
    transport.loseWriteConnection()
    return not transport.connected or transport.doWrite() is None


def endSending(transport: Any) -> None:
    """
    Everything is sent: end the connection once the peer has ended it, too, as
    far as its halves end one by one.  Who closes a socket in which something
    is unread resets it (RFC 1122, section 4.2.2.13), and the peer may lose
    what it has not read then.
    """
    if isPlainSocket(transport):
        endHalf(transport)
    else:
        transport.loseConnection()


def closeSent(transport: Any) -> bool:
    """
    Wait no longer for the peer after L{endSending}: if the kernel has all, it
    still sends it.

    @return: Whether it is over then.
    """
    for layer in _layers(transport):
        if isPlainSocket(layer):
            layer.loseConnection()
            return not layer.connected
        if ISSLTransport.providedBy(layer):
            break
    return False


def unsent(transport: Any) -> int:
    """
    @return: How many bytes the kernel has that the peer has not, as far as it
        can be asked.
    """
    if not isPlainSocket(transport) or getattr(transport, "socket", None) is None:
        return 0
    handle: socket.socket = transport.getHandle()
    if handle.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    count = array("i", [0])
    try:
        fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]


def isDead(transport: Any) -> bool:
    """
    Has the peer of a paused connection reset it?  A paused transport does
    not hear it by itself.
    """
    if not isPlainSocket(transport) or getattr(transport, "socket", None) is None:
        return False
    return bool(transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
