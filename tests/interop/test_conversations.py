"""
Records conversations with Rust nodes of two releases and holds them again at
once.  With C{OCKAM_TWISTED_RECORD=1} they replace the ones in
C{tests/vectors/conversations}, which the main tests hold again where there is
no Rust peer.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.interop.nodes import NodeTestCase, eachRelease
from tests.interop.peers import receiveExactly
from tests.scenarios.conversations import MESSAGES, PARTS, Chunks, RecordingEndpoint, makeNode, replay, seed
from tests.scenarios.processes import freePort

FOLDER = Path(__file__).parent.parent / "vectors" / "conversations"

anyReactor: Any = reactor


@eachRelease
class RecordTests(NodeTestCase):
    """
    Each kind of conversation.
    """

    async def record(self, part: str, meet: Any) -> None:
        """
        Hold a conversation, and hold it again.

        @param meet: Makes the Rust node meet us at a port, and waits until
            all is said.
        """
        moment = int(time.time())
        chunks: Chunks = []
        seed(self)
        node = await makeNode(reactor, moment)
        self.addCleanup(node.stopService)
        await meet(node, part, chunks)
        await deferLater(anyReactor, 0.3)
        recorded = list(chunks)
        conversation = {"part": part, "release": self.release, "time": moment, "chunks": recorded}
        self.assertGreater(len(recorded), 3)
        replay(self, conversation)
        if os.environ.get("OCKAM_TWISTED_RECORD"):
            FOLDER.mkdir(exist_ok=True)
            text = json.dumps(conversation, indent=1)
            (FOLDER / f"{part}_{self.release}.json").write_text(text + "\n")

    async def _listen(self, node: Any, part: str, chunks: Chunks) -> int:
        seed(self)
        endpoint = TCP4ServerEndpoint(anyReactor, 0, interface="127.0.0.1")
        port = await PARTS[part](node, RecordingEndpoint(endpoint, chunks))
        number: int = port.getHost().port
        return number

    async def test_initiator(self) -> None:
        """
        A Rust initiator, past a change of keys, until it closes.
        """

        async def meet(node: Any, part: str, chunks: Chunks) -> None:
            port = await self._listen(node, part, chunks)
            to = f"/dnsaddr/127.0.0.1/tcp/{port}/secure/api/service/echo"
            program = self.rust(self.release, "initiator", "--to", to, "--count", str(MESSAGES), "--size", "20")
            await deferToThread(program.value, "Echoed")
            await deferToThread(program.process.wait, 20)

        await self.record("initiator", meet)

    async def test_listener(self) -> None:
        """
        A Rust listener, past a change of keys, until we close.
        """

        async def meet(node: Any, part: str, chunks: Chunks) -> None:
            port = freePort()
            program = self.rust(self.release, "listener", "--listen", f"127.0.0.1:{port}", "--secure", "api")
            await deferToThread(program.value, "Ready")
            seed(self)
            endpoint = TCP4ClientEndpoint(anyReactor, "127.0.0.1", port)
            await Deferred.fromCoroutine(PARTS[part](node, RecordingEndpoint(endpoint, chunks)))

        await self.record("listener", meet)

    async def test_inlet(self) -> None:
        """
        A stream of a Rust inlet, until its client closes.
        """

        async def meet(node: Any, part: str, chunks: Chunks) -> None:
            port, at = freePort(), await self._listen(node, part, chunks)
            to = f"/dnsaddr/127.0.0.1/tcp/{at}/secure/api/service/outlet"
            program = self.rust(self.release, "inlet", "--listen", f"127.0.0.1:{port}", "--to", to)
            await deferToThread(program.value, "Ready")
            client = self.connect(port)
            for number in range(MESSAGES):
                data = bytes([number]) * (1 + 7 * number)
                client.sendall(data)
                self.assertEqual(await deferToThread(receiveExactly, client, len(data)), data)
            client.close()
            await deferLater(anyReactor, 0.5)

        await self.record("inlet", meet)

    async def test_registration(self) -> None:
        """
        A Rust outlet registers a name at our relay.
        """

        async def meet(node: Any, part: str, chunks: Chunks) -> None:
            port = await self._listen(node, part, chunks)
            program = self.rust(
                self.release, "outlet", "--target", "127.0.0.1:9", "--secure", "api",
                "--relay", f"/dnsaddr/127.0.0.1/tcp/{port}", "--relay-name", "private",
            )  # fmt: skip
            self.assertEqual(await deferToThread(program.value, "Forwarding address"), "forward_to_private")

        await self.record("registration", meet)
