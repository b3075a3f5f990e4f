"""
Credentials between a node of ours, in this process, and Rust nodes of two
releases; over real sockets and in real time.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.threads import deferToThread

from ockam_twisted.errors import OckamError
from ockam_twisted.identity.creation import attestCredentialKey, issueCredential
from ockam_twisted.identity.history import ChangeHistory
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.membership import Membership
from ockam_twisted.node import Node
from ockam_twisted.places import now
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw
from tests.interop.nodes import NodeTestCase, eachRelease
from tests.scenarios.processes import PATIENCE


@eachRelease
class CredentialTests(NodeTestCase):
    """
    Who issues, who presents, who checks.
    """

    async def issued(self, subject: str) -> tuple[str, bytes]:
        """
        A Rust authority says of somebody that they are a member.

        @param subject: Change history, hexadecimal.
        @return: The history of the authority, hexadecimal, and the credential.
        """
        said = await deferToThread(
            self.ask, self.release, "issue", "--state", str(self.folder / "authority"), "--subject", subject,
            "--attribute", "role=member",
        )  # fmt: skip
        return said["Change history"], bytes.fromhex(said["Credential"])

    async def guarded(self, authority: str) -> int:
        """
        @return: The port of a Rust node whose C{echo} is for members only.
        """
        port = self.port()
        program = self.rust(
            self.release, "listener", "--listen", f"127.0.0.1:{port}", "--secure", "api",
            "--authority", authority, "--require", "role=member",
        )  # fmt: skip
        await deferToThread(program.value, "Ready")
        return port

    async def isAnswered(self, node: Node, encryptor: Address, seconds: float = PATIENCE) -> bool:
        """
        Does C{echo} answer through a channel?

        @param seconds: How long it has.
        """
        with node.router.turn:
            route = Route((encryptor, Address.local("echo")))
            reply = requestRaw(node.router, node.reactor, route, b"hello", seconds)
        try:
            return await reply == b"hello"
        except OckamError:
            return False

    async def test_wePresent(self) -> None:
        """
        A credential of ours by a Rust authority opens a Rust node's worker;
        without it, it is closed, until it is presented anew.
        """
        node = await self.node()
        party = node.requireParty()
        history = party.identity.history.encode()
        authority, credential = await self.issued(history.hex())
        connection = await node.connect(f"127.0.0.1:{await self.guarded(authority)}")
        channel = await node.createSecureChannel([*connection, "api"], trust=TrustEveryone())
        self.assertFalse(await self.isAnswered(node, channel.encryptor, 3))
        channel.presentCredential(history, credential)
        self.assertTrue(await self.isAnswered(node, channel.encryptor))

    async def test_wePresentAtOnce(self) -> None:
        """
        The same in the handshake.
        """
        node = await self.node()
        party = node.requireParty()
        authority, credential = await self.issued(party.identity.history.encode().hex())
        connection = await node.connect(f"127.0.0.1:{await self.guarded(authority)}")
        node.party = evolve(party, credential=credential)
        channel = await node.createSecureChannel([*connection, "api"], trust=TrustEveryone())
        self.assertTrue(await self.isAnswered(node, channel.encryptor))

    async def test_theyFetch(self) -> None:
        """
        A Rust node fetches its credential from an authority of ours, as its
        own kind does, and presents it to another Rust node and to us; who is
        no member gets none.
        """
        node = await self.node()
        party = node.requireParty()
        mine = party.identity.history
        said = await deferToThread(self.ask, self.release, "identity", "--state", str(self.folder / "rust"))
        subject = Identifier.parse(said["Identifier"])
        listener = node.createSecureChannelListener(TrustEveryone())
        Membership(node.router, party, node.authority, listener, isOpen=True).setServiceParent(node)
        at = await self.listening(node)
        guarded = await self.guarded(mine.encode().hex())

        def ask(port: int) -> Any:
            return self.rust(
                self.release, "initiator", "--to", f"/dnsaddr/127.0.0.1/tcp/{port}/secure/api/service/echo",
                "--state", str(self.folder / "rust"), "--authority", mine.encode().hex(),
                "--retrieve", f"127.0.0.1:{at}", "--timeout", "8",
            )  # fmt: skip

        refused = ask(guarded)
        self.assertNotEqual(await deferToThread(refused.process.wait, 60), 0)
        await node.authority.addMember(subject, ((b"role", b"member"),), "test")
        await deferToThread(ask(guarded).value, "Echoed")
        party.authorities = {mine.identifier: mine}
        await deferToThread(ask(at).value, "Echoed")

    async def test_weIssue(self) -> None:
        """
        A Rust node presents a credential that an authority of ours has
        issued, to another Rust node and to us.
        """
        node = await self.node()
        party = node.requireParty()
        said = await deferToThread(self.ask, self.release, "identity", "--state", str(self.folder / "rust"))
        key = await attestCredentialKey(party.vault, party.identity, now())
        subject = Identifier.parse(said["Identifier"])
        credential = await issueCredential(party.vault, key, subject, {b"role": b"member"}, now(), 600)
        mine = party.identity.history
        guarded = await self.guarded(mine.encode().hex())
        node.party = evolve(party, authorities={mine.identifier: mine})
        listener = node.createSecureChannelListener(TrustEveryone())
        for port in (guarded, await self.listening(node)):
            program = self.rust(
                self.release, "initiator", "--to", f"/dnsaddr/127.0.0.1/tcp/{port}/secure/api/service/echo",
                "--credential", credential.encode().hex(), "--stay", state="rust",
            )  # fmt: skip
            self.assertEqual(await deferToThread(program.value, "Echoed"), "1")
            if port == guarded:
                await deferToThread(program.end)
        [channel] = listener.channels
        assert channel.credential is not None
        self.assertEqual(dict(channel.credential.attributes)[b"role"], b"member")

    async def test_theyPresent(self) -> None:
        """
        A Rust listener presents a credential of a Rust authority, and we
        check it; an authority we do not know counts for nothing.
        """
        said = await deferToThread(self.ask, self.release, "identity", "--state", str(self.folder / "rust"))
        authority, credential = await self.issued(said["Change history"])
        port = self.port()
        program = self.rust(
            self.release, "listener", "--listen", f"127.0.0.1:{port}", "--secure", "api",
            "--credential", credential.hex(), state="rust",
        )  # fmt: skip
        await deferToThread(program.value, "Ready")
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        history = ChangeHistory.fromBytes(bytes.fromhex(authority))
        for authorities, role in (({history.identifier: history}, b"member"), ({}, None)):
            node.party = evolve(node.requireParty(), authorities=authorities)
            channel = await node.createSecureChannel([*connection, "api"], authorized=[said["Identifier"]])
            self.assertEqual(channel.credential and dict(channel.credential.attributes)[b"role"], role)
