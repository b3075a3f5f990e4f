"""
From a configuration to a running node: what the plugins start.

Three steps, because C{twistd} forks and changes its user in between:
L{ockam_twisted.checks} finds out before the start, leaving nothing open, what
is wrong; L{NodeService.privilegedStartService} binds;
L{NodeService.startService} opens the state and begins.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredLock, fail, gatherResults, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.administration import Administration
from ockam_twisted.attestation import Attestation
from ockam_twisted.checks import checkNames, checkTickets, stateFolder
from ockam_twisted.config import NodeConfig
from ockam_twisted.control import Control
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.node import Node
from ockam_twisted.offers import Offers, announce
from ockam_twisted.parts.difference import difference
from ockam_twisted.parts.whole import Parts
from ockam_twisted.portals.sole import Outcome
from ockam_twisted.processes.service import Processes
from ockam_twisted.reception import Reception
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.storage.sqlite import SQLiteStore
from ockam_twisted.vault.opening import openVault, readPassphrase
from ockam_twisted.vault.pkcs11 import IN_TOKEN

#: What is noted of members that the options name.
BY_CONFIGURATION = "config"


class NodeService(MultiService):
    """
    A node as a configuration says.  It runs once: make another one to start
    again.

    @ivar node: The node.
    @ivar exitStatus: What C{twist} is to end with.
    @ivar ready: Fires once, with why it could not start; with an empty text
        if it did.  The sessions then try by themselves.
    @ivar notifications: Tell a service manager how it is: L{ockam_twisted.ops.notify.Notifications}, where there is
        one.
    """

    notifications: Any = None
    _log = Logger()
    _folder: StateFolder | None = None
    _bound = False
    exitStatus = 0
    _starting: Deferred[None] | None = None
    _stopping: Deferred[None] | None = None

    def __init__(self, config: NodeConfig, reactor: Any, reread: Callable[[], NodeConfig] | None = None) -> None:
        """
        @param reread: Reads the configuration again, where it has been read;
            may raise an L{OckamError}.
        """
        super().__init__()
        self._config = config
        self._reread = reread
        self._reactor = reactor
        self.ready: Deferred[str] = Deferred()
        self._announced: set[str] = set()
        store: Any = MemoryStore()
        if not config.state.ephemeral:
            self._folder = stateFolder(config)
            store = SQLiteStore(self._folder.database, reactor)
        self._store = store
        self.node = Node(reactor, store, config.command, config.maxFrame)
        self.node.streamSettings.resumeTimeout = config.resumeTimeout
        self.node.punctures.become(config.rendezvous)
        if config.relayService is not None and config.relayService.processes > 1:
            processes = Processes(self.node.pool, self.node.router, self.node.transport, config.relayService.processes)
            self.node.processes = processes
            processes.setServiceParent(self.node)
        self._attestation = Attestation(config, self.node)
        self._parts = Parts(config, self.node, self._attestation, self._say)
        self._parts.serveOne(self._over)
        self._applying = DeferredLock()

    # --------------------------------------------------------------- start

    def privilegedStartService(self) -> None:
        """
        Bind every listener, while this process may.

        @raise StateUnusable: One of them cannot be had.
        """
        super().privilegedStartService()
        self._orStop(self._bindAll)

    def startService(self) -> None:
        """
        Open the state and begin.

        @raise OckamError: Something is in the way; nothing is left open.
        """
        self._orStop(super().startService)
        self._orStop(self._open)

    def _orStop(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:
            self._conclude(str(error) or type(error).__name__)
            self.stopService()
            raise

    def _open(self) -> None:
        # C{twist} has no privileged step.
        self._bindAll()
        if self._folder is not None:
            self._folder.open()
            self._store.open()
        starting = self._starting = Deferred.fromCoroutine(self._start())
        if starting.called and isinstance(starting.result, Failure):
            failure = starting.result
            starting.addErrback(lambda _: None)
            failure.raiseException()
        starting.addCallbacks(lambda _: self._conclude(""), self._failed)

    def _bindAll(self) -> None:
        if self._bound:
            return
        self._bound = True
        for opening in self._parts.bind():
            self._bind(opening)

    def _bind(self, opening: Deferred[None]) -> None:
        failures: list[Failure] = []

        def failed(why: Failure) -> None:
            if not atOnce:
                self._failed(why)
            failures.append(why)

        atOnce = True
        opening.addErrback(failed)
        atOnce = False
        if failures:
            failures[0].raiseException()

    def _conclude(self, reason: str) -> None:
        if not self.ready.called:
            self.ready.callback(reason)

    def _failed(self, failure: Failure) -> None:
        """
        Something has failed that could not be known in L{startService}.
        """
        if self._stopping is None:
            self.cannotStart(failure)

    def cannotStart(self, failure: Failure) -> None:
        """
        Say what is in the way, and end the reactor.

        @param failure: With an L{OckamError}, or an error of ours.
        """
        if failure.check(OckamError):
            self._log.critical("Cannot start: {reason}", reason=failure.getErrorMessage(), event="start-failed")
        else:
            self._log.failure("Cannot start: {reason}", failure, reason=failure.getErrorMessage(), event="start-failed")
        self._conclude(failure.getErrorMessage())
        self.exitStatus = 1
        self._reactor.callLater(0, self._reactor.stop)

    def _over(self, outcome: tuple[Outcome, str]) -> None:
        """
        The only client that was to be served has been.
        """
        how, reason = outcome
        self.exitStatus = how.value
        self._log.info(
            "The one client has been served: {outcome}{reason}",
            outcome=how.name.lower(),
            reason=f": {reason}" if reason else "",
            event="client-served",
        )
        self._reactor.callLater(0, self._reactor.stop)

    async def _start(self) -> None:
        config, node = self._config, self.node
        state = config.state
        if not state.ephemeral:
            passphrase = readPassphrase(state.passphrase, os.environ)
            node.vault = await openVault(self._reactor, self._store, state.vault, passphrase)
        identifier = await node.loadIdentity()
        self._say("Identifier", str(identifier))
        if state.vault and not node.requireParty().identity.signingKey.startswith(IN_TOKEN):
            self._log.warn(
                "--vault: the key of this identity was made in the state folder and is still there; "
                "`ockam-twisted identity rotate --command {command}` while this node runs makes one in the token",
                command=config.command,
                event="key-outside-token",
            )
        if config.trust.everyone and config.outlets:
            self._log.warn(
                "--trust-everyone: whoever knows the way to this node can use what it offers", event="everyone-may-use"
            )
        if any(inlet.trust.everyone for inlet in config.inlets):
            self._log.warn(
                "--trust-everyone: whoever is at the end of the way can read and answer what clients send",
                event="everyone-may-answer",
            )
        administration = Administration(node.authority, self._store, identifier, config.command, node.calendar.now)
        administration.takesTickets = lambda: self._config.tickets is not None
        administration.tasks["identity rotate"] = self._rotate
        administration.tasks["status"] = lambda: node.status().asJSON()
        administration.tasks["reload"] = self.reload
        offers = Offers(config, node, administration, self._say)
        node.calendar.setBack.append(self._clockSetBack)
        self._attestation.begin()
        reception = Reception(config, node, self._attestation)
        node.calendar.checkNewest()
        await self._addInitialMembers()
        self._parts.begin(reception, offers)
        if reception.listener is not None:
            self._offer(reception.listener.flowId)
        if self._folder is not None:
            Control(self._reactor, self._folder.path, administration).setServiceParent(node)
        node.setServiceParent(self)
        offers.setServiceParent(node)

    # -------------------------------------------------------------- reload

    def reload(self) -> Deferred[dict[str, list[str]]]:
        """
        Read the configuration again, and become what it says.

        @return: See L{apply}; also fails with L{ConfigurationError} if there
            is nothing to read.
        """
        if self._reread is None:
            reason = f"{self._config.command} was started by options alone: there is no file that could be read again"
            self._log.error("Not reloaded: {reason}", reason=reason, event="not-reloaded")
            return fail(ConfigurationError(reason))
        return self._applying.run(lambda: Deferred.fromCoroutine(self._reload()))

    async def _reload(self) -> dict[str, list[str]]:
        assert self._reread is not None
        if self.notifications is not None:
            self.notifications.reloading()
        try:
            return await self._become(self._reread())
        except Exception as error:
            if isinstance(error, OckamError):
                self._log.error(
                    "Not reloaded: {reason}", reason="; ".join(str(error).splitlines()), event="not-reloaded"
                )
            else:
                self._log.failure("A reload has failed", event="reload-failed")
            raise
        finally:
            if self.notifications is not None:
                self.notifications.ready()

    def apply(self, config: NodeConfig) -> Deferred[dict[str, list[str]]]:
        """
        Become what another configuration says, while running: what is the same
        there goes on, and nobody notices.

        @return: Fires with what was added, removed, changed and kept; fails
            with an L{OckamError} if it cannot be: nothing was changed then.
        """
        return self._applying.run(lambda: Deferred.fromCoroutine(self._become(config)))

    async def _become(self, config: NodeConfig) -> dict[str, list[str]]:
        if self._stopping is not None or self.node.parent is None:
            raise StateUnusable("the node has not started yet, or is about to stop")
        change = difference(self._config, config)
        checkNames(config, self._reactor)
        checkTickets(config, self._store.setting)
        if not change.isNothing:
            await self._parts.become(config, change)
            self._config = config
            await self._addInitialMembers()
        result = change.asJSON()
        self._log.info(
            "Reloaded: {added} added, {removed} removed, {changed} changed, {kept} as before",
            added=len(result["added"]),
            removed=len(result["removed"]),
            changed=len(result["changed"]),
            kept=len(result["kept"]),
            event="reloaded",
        )
        return result

    def _rotate(self) -> Deferred[dict[str, str]]:
        """
        Replace the key of the identity, while everything goes on.
        """

        async def rotate() -> dict[str, str]:
            party = self.node.requireParty()
            await self._attestation.rotate()
            count = len(party.identity.history.changes)
            self._log.info(
                "The key of this identity is another: number {count}", count=count, audit="changed", event="key-rotated"
            )
            return {"identifier": str(party.identity.identifier), "changes": str(count)}

        return Deferred.fromCoroutine(rotate())

    def _clockSetBack(self) -> None:
        count = self.node.authority.expireTokens()
        if count:
            self._log.warn(
                "{count} tickets count no more: make new ones", count=count, event="tickets-void", audit="changed"
            )
        self._attestation.expire()

    async def _addInitialMembers(self) -> None:
        service = self._config.authorityService
        authority = self.node.authority
        if service is None:
            return
        named: dict[Identifier, dict[bytes, bytes]] = {}
        for text, attributes in service.members:
            its = named.setdefault(Identifier.parse(text), {})
            its.update((name.encode(), value.encode()) for name, value in attributes)
        for identifier, its in named.items():
            pairs = tuple(sorted(its.items()))
            member = authority.member(identifier)
            if member is None or member.attributes != pairs:
                await authority.addMember(identifier, pairs, BY_CONFIGURATION)
        for member in authority.members():
            if member.addedBy == BY_CONFIGURATION and member.identifier not in named:
                # --enroller or --members names it no more.
                await authority.removeMember(member.identifier, BY_CONFIGURATION)

    def _offer(self, listenerFlow: str) -> None:
        """
        The workers that are there only when asked for.
        """
        reachable = (self.node.transport.listenerId, listenerFlow)
        if self._config.uppercase:
            self.node.startUppercase(reachable)
        if self._config.hop:
            self.node.startHop(reachable)

    def _say(self, label: str, value: str) -> None:
        line = f"{label}: {value}"
        if line not in self._announced:
            self._announced.add(line)
            announce(label, value)
            self._log.info("{label}: {value}", label=label, value=value, event="announced")

    # ---------------------------------------------------------------- stop

    def stopService(self) -> Deferred[None]:
        """
        Drain, then close the state.

        @return: Fires when nothing is open any more, also for those who ask
            again.
        """
        Service.stopService(self)
        if self._stopping is None:
            self._stopping = Deferred()
            Deferred.fromCoroutine(self._stop()).addErrback(
                lambda failure: self._log.failure(
                    "The state was not closed as it should", failure, event="state-not-closed"
                )
            ).chainDeferred(self._stopping)
        stopped: Deferred[None] = Deferred()

        def tell(result: None) -> None:
            stopped.callback(None)

        self._stopping.addCallback(tell)
        return stopped

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        self._conclude("it was stopped before it was ready")
        self._parts.leaving.stop()
        await self.node.drain(self._config.drainTimeout)
        await self.node.stopService()
        self._parts.close()
        # What shows the node shows its end, too.
        await gatherResults([maybeDeferred(each.stopService) for each in self if each is not self.node])
        if self._folder is not None:
            await self._store.close()
            self._folder.close()
