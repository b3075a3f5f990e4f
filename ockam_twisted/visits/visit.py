"""
A node for as long as a command needs it: who an inlet is, without being in its
way.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from attrs import evolve

from ockam_twisted.attestation import Attestation, inletTrust
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.checks import stateFolder
from ockam_twisted.config import InletConfig, NodeConfig
from ockam_twisted.errors import InvalidTicket, StateUnusable
from ockam_twisted.identity.creation import IDENTITY, loadOrCreate
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.node import Node
from ockam_twisted.places import now
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.sessions.choice import Choice
from ockam_twisted.sessions.destination import Destination, PinnedWay, destinations, readPinnedWay
from ockam_twisted.sessions.enrolment import enrol
from ockam_twisted.sessions.pairing import PAIRING, Pairing, checkTicket, storedPairing
from ockam_twisted.sessions.retriever import CredentialRetriever, redeemedSetting
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.storage.sqlite import SQLiteStore, readSetting, readState
from ockam_twisted.vault.opening import openVault, readPassphrase


class Visit:
    """
    See the module.

    The state folder may be that of an inlet that runs: then, and whenever
    nothing has to be kept, it is read and not locked.  Two nodes may have
    one identity.

    @ivar node: The node, once L{open} is done.
    @ivar ticket: One that was given and not redeemed; with its code if it is
        to be.
    @ivar pairing: Whom a ticket names, if it is that which says it.
    @ivar isNew: Was the identity made for this visit alone?
    @ivar retriever: Gets our credential, where there is an authority.
    """

    node: Node
    ticket: Ticket | None = None
    pairing: Pairing | None = None
    retriever: CredentialRetriever | None = None
    isNew = False

    def __init__(self, reactor: Any, config: NodeConfig, redeems: bool = False, creates: bool = False) -> None:
        """
        @param config: Of an inlet; where that listens does not matter.
        @param redeems: May a ticket be redeemed?  If not, it only says where
            the outlet is, and who.
        @param creates: May an identity be made, and kept?
        """
        self._reactor = reactor
        self._config = config
        self._redeems = redeems
        self._creates = creates
        self._folder: StateFolder | None = None
        self._store: MemoryStore | None = None

    @property
    def inlet(self) -> InletConfig:
        """
        What is to be reached.
        """
        return self._config.inlets[0]

    @property
    def _given(self) -> Ticket | None:
        """
        The ticket of the inlet, redeemed or not.
        """
        return Ticket.fromText(self.inlet.ticket) if self.inlet.ticket else None

    @property
    def _ways(self) -> list[PinnedWay]:
        """
        The ways that are said to lead there.
        """
        return [readPinnedWay(each) for each in self.inlet.to]

    @property
    def identifier(self) -> Identifier:
        """
        Who we are.
        """
        return self.node.identifier

    # --------------------------------------------------------------- begin

    async def open(self) -> None:
        """
        Begin.

        @raise OckamError: The state cannot be used, or a ticket.
        """
        config = self._config
        self.ticket = self._readTicket()
        if self.ticket is not None and not self._redeems:
            self.ticket = evolve(self.ticket, code=None)
            inlet = evolve(self.inlet, ticket=str(self.ticket))
            config = self._config = evolve(config, inlets=(inlet,))
        store = self._store = await self._open()
        self.isNew = store.setting(IDENTITY) is None
        node = self.node = Node(self._reactor, store, config.command, config.maxFrame)
        node.streamSettings.resumeTimeout = config.resumeTimeout
        if not config.state.ephemeral:
            node.vault = await openVault(self._reactor, store, config.state.vault, self._passphrase())
        await node.loadIdentity()
        attestation = Attestation(config, node)
        attestation.begin()
        self.retriever = attestation.retriever
        if self.inlet.isPaired:
            self.pairing = Pairing(store, self._given, self._ways)
        node.privilegedStartService()
        node.startService()

    def _readTicket(self) -> Ticket | None:
        """
        The ticket, if it is not one that was redeemed before.
        """
        ticket = self._given
        if ticket is None:
            return None
        paired, isRedeemed = None, False
        if not self._config.state.ephemeral:
            database = stateFolder(self._config).database
            paired = storedPairing(readSetting(database, PAIRING)) if self.inlet.isPaired else None
            isRedeemed = readSetting(database, redeemedSetting(ticket.digest)) is not None
        checkTicket(ticket, paired, isRedeemed, now())
        return None if isRedeemed else ticket

    def _passphrase(self) -> bytes | None:
        return readPassphrase(self._config.state.passphrase, os.environ)

    async def _open(self) -> MemoryStore:
        if self._config.state.ephemeral:
            return MemoryStore()
        folder = stateFolder(self._config)
        if self.ticket is not None and self._redeems:
            return self._lock(folder)
        if not folder.exists() or readSetting(folder.database, IDENTITY) is None:
            if self.inlet.isPaired and self.ticket is None:
                raise InvalidTicket(
                    f"there is no pairing in {folder.path}: give --ticket, or --to with --authorized IDENTIFIER, or "
                    "say with --instance or --state-dir which inlet is meant"
                )
            if not self._creates:
                return MemoryStore()
            await self._makeIdentity(folder)
        folder.checkFolder()
        return readState(folder.database)

    def _lock(self, folder: StateFolder) -> SQLiteStore:
        folder.open()
        self._folder = folder
        store = SQLiteStore(folder.database, self._reactor)
        store.open()
        return store

    async def _makeIdentity(self, folder: StateFolder) -> None:
        """
        Make one that is there the next time, too.
        """
        store = self._store = self._lock(folder)
        vault = await openVault(self._reactor, store, self._config.state.vault, self._passphrase())
        await loadOrCreate(vault, store, now())
        await self._closeState()

    async def redeem(self) -> None:
        """
        Redeem the ticket of an outlet.

        @raise EnrollmentRefused: It is not accepted.
        @raise OckamError: It cannot be presented.
        """
        ticket, pairing = self.ticket, self.pairing
        if ticket is None or ticket.code is None or ticket.peer is None or pairing is None or ticket.authority:
            raise StateUnusable("there is no ticket of an outlet to be redeemed")
        # Before the code is sent: whatever happens then, it is known to whom.
        await pairing.keep()
        await enrol(self.node.walk, ticket.ways[0], ticket.peer, ticket.code)
        await pairing.store.storeSetting(redeemedSetting(ticket.digest), b"")

    # ---------------------------------------------------------------- goal

    def destinations(self) -> tuple[Destination, ...]:
        """
        The outlets.

        @raise OckamError: It cannot be told where they are.
        """
        if self.pairing is not None:
            return self.pairing.destinations()
        trust = None if self.inlet.saysWho else inletTrust(self._config, self.inlet)
        return destinations(self._ways, trust)

    def way(self) -> Choice:
        """
        The way to them, kept alive.
        """
        if self.pairing is None:
            return self.node.createWayTo(self.destinations())
        return self.node.createPairedWay(self._given, self._ways, retriever=partial(getattr, self, "retriever"))

    def addInlet(self) -> Inlet:
        """
        An inlet to them, which listens nowhere.
        """
        return self.node.addInlet(self.way(), self.inlet.connectTimeout)

    # ----------------------------------------------------------------- end

    async def close(self) -> None:
        """
        End, whatever there is.
        """
        node = getattr(self, "node", None)
        if node is not None:
            await node.stopService()
        await self._closeState()

    async def _closeState(self) -> None:
        store, self._store = self._store, None
        folder, self._folder = self._folder, None
        if isinstance(store, SQLiteStore):
            await store.close()
        if folder is not None:
            folder.close()
