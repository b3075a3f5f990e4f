"""
Many clients at the same time.
"""

from __future__ import annotations

import hashlib
import socket
import time

from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, steady

CLIENTS = 500
SIZE = 20_000


def _content(number: int, what: str) -> bytes:
    return hashlib.shake_128(f"{what} of {number}".encode()).digest(SIZE)


class ManyTests(ScenarioTestCase):
    """
    Clients that stay.
    """

    def _receive(self, client: socket.socket, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            data = client.recv(size - len(got))
            self.assertTrue(data, "closed early")
            got += data
        return bytes(got)

    def _echoed(self, clients: list[socket.socket], what: str) -> None:
        """
        Each one gets back what it sent, and nothing else.
        """
        for number, client in enumerate(clients):
            client.sendall(_content(number, what))
        for number, client in enumerate(clients):
            self.assertEqual(self._receive(client, SIZE), _content(number, what))

    def _waitForFiles(self, programs: list[Program], before: list[int]) -> None:
        deadline = time.monotonic() + PATIENCE
        while (now := [program.openFiles() for program in programs]) != before and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(now, before)

    def test_500_clients(self) -> None:
        """
        All are connected at once, all are served, in both directions, and
        nothing of them stays open.
        """
        port, *programs = self.portal(self.target("echo"))
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as first:
            first.settimeout(PATIENCE)
            self._echoed([first], "first")
        # The stream of the first one has to end on the other side too.
        before = steady(lambda: [program.openFiles() for program in programs])
        clients = []
        for _ in range(CLIENTS):
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            self.addCleanup(client.close)
            client.settimeout(PATIENCE)
            clients.append(client)
        # Whoever has had an answer is connected all the way.
        self._echoed(clients, "hello")
        inlet, _, outlet = (program.openFiles() for program in programs)
        self.assertGreaterEqual(inlet, before[0] + CLIENTS)
        self.assertGreaterEqual(outlet, before[2] + CLIENTS)
        self._echoed(clients, "data")
        for client in clients:
            client.close()
        self._waitForFiles(programs, before)
