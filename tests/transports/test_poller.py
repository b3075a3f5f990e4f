"""
Tests for L{ockam_twisted.transports.poller}.  They use real sockets.
"""

from __future__ import annotations

import select
import socket

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.transports.poller import Poller

IN, OUT = 1, 4


class Looks:
    """
    Looks after a socket.
    """

    def __init__(self, its: socket.socket) -> None:
        self.fileno = its.fileno


class PollerTests(SynchronousTestCase):
    """
    Tests for L{Poller}.
    """

    def setUp(self) -> None:
        """
        Two ends of a connection.
        """
        if not hasattr(select, "epoll"):
            raise SkipTest("no epoll here")
        self.poller = Poller()
        self.addCleanup(self.poller.close)
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.fd = self.ours.fileno()
        self.looks = Looks(self.ours)

    def test_atOnce(self) -> None:
        """
        Outside of a pass the kernel is told at once.
        """
        self.poller.change(self.fd, self.looks, IN)
        self.assertEqual(self.poller.poll(10), [])
        self.theirs.send(b"x")
        self.assertEqual(self.poller.poll(10), [(self.fd, IN)])
        self.poller.change(self.fd, self.looks, IN | OUT)
        self.assertEqual(self.poller.poll(10), [(self.fd, IN | OUT)])
        self.poller.change(self.fd, None, 0)
        self.assertEqual(self.poller.poll(10), [])

    def test_pass(self) -> None:
        """
        In a pass it is told at the end, and only of what has changed by then.
        """
        self.theirs.send(b"x")
        self.poller.begin()
        self.poller.change(self.fd, self.looks, IN)
        self.assertEqual(self.poller.poll(10), [])
        self.assertEqual([*self.poller.changed], [self.fd])
        self.poller.end()
        self.assertEqual((self.poller.changed, self.poller.poll(10)), ({}, [(self.fd, IN)]))
        self.poller.begin()
        self.poller.change(self.fd, None, 0)
        self.poller.change(self.fd, self.looks, IN)
        self.poller.end()
        self.assertEqual(self.poller.poll(10), [(self.fd, IN)])

    def test_sameNumber(self) -> None:
        """
        A new socket may have the number of one that was closed in the same
        pass.
        """
        self.poller.change(self.fd, self.looks, IN)
        self.poller.begin()
        self.poller.change(self.fd, None, 0)
        self.ours.close()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.assertEqual(ours.fileno(), self.fd)
        self.poller.change(self.fd, Looks(ours), IN)
        theirs.send(b"x")
        self.poller.end()
        self.assertEqual(self.poller.poll(10), [(self.fd, IN)])

    def test_closed(self) -> None:
        """
        One that was closed is not asked for any more.
        """
        self.poller.change(self.fd, self.looks, IN)
        self.poller.begin()
        self.poller.change(self.fd, None, 0)
        self.ours.close()
        self.poller.end()
        self.assertEqual(self.poller.poll(10), [])

    def test_handedOver(self) -> None:
        """
        Somebody else may look after the same socket.
        """
        self.poller.change(self.fd, self.looks, OUT)
        self.poller.begin()
        self.looks.fileno = lambda: -1
        self.poller.change(self.fd, Looks(self.ours), IN)
        self.poller.end()
        self.assertEqual(self.poller.poll(10), [])
        self.theirs.send(b"x")
        self.assertEqual(self.poller.poll(10), [(self.fd, IN)])

    def test_forget(self) -> None:
        """
        What is ready and nobody's can be forgotten; what is somebody's by then
        is not.
        """
        self.poller.change(self.fd, self.looks, OUT)
        self.looks.fileno = lambda: -1
        self.poller.change(self.fd, None, 0)
        self.assertEqual(self.poller.poll(10), [(self.fd, OUT)])
        self.poller.forget(self.fd)
        self.assertEqual(self.poller.poll(10), [])
        self.poller.forget(self.fd)
        self.poller.change(self.fd, self.looks, OUT)
        self.poller.forget(self.fd)
        self.assertEqual(self.poller.poll(10), [(self.fd, OUT)])
        self.poller.close()
        self.poller.forget(self.fd)
