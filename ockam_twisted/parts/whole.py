"""
All parts of a node, and how they become others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from ockam_twisted.attestation import Attestation
from ockam_twisted.config import NodeConfig
from ockam_twisted.errors import StateUnusable
from ockam_twisted.node import Node
from ockam_twisted.offers import Offers
from ockam_twisted.parts.difference import INLET, LISTENER, OUTLET, Difference, Key, keyed
from ockam_twisted.parts.doors import Door
from ockam_twisted.parts.inlets import InletPart, checkHearing
from ockam_twisted.parts.listeners import ListenerPart
from ockam_twisted.parts.outlets import OutletPart
from ockam_twisted.parts.part import Leaving, Part
from ockam_twisted.parts.registrations import RegistrationPart
from ockam_twisted.portals.sole import Outcome, serveOne
from ockam_twisted.reception import Reception, isNeeded

#: Those that have a door.
Placed = ListenerPart | InletPart


def _place(key: Key, config: Any) -> str:
    """
    Where a part listens; empty for one that does not.
    """
    return str(config) if key[0] == LISTENER else str(config.listen) if key[0] == INLET else ""


class Parts:
    """
    See the module.

    @ivar config: What they are made from.
    @ivar parts: They, without those that leave.
    @ivar leaving: Those.
    """

    reception: Reception
    offers: Offers

    def __init__(
        self, config: NodeConfig, node: Node, attestation: Attestation, say: Callable[[str, str], object]
    ) -> None:
        """
        @param say: Shows a label and a value, once each.
        """
        self.config = config
        self.parts: dict[Key, Part] = {}
        self.leaving = Leaving(node.reactor)
        self._node = node
        self._attestation = attestation
        self._say = say
        for key, each in keyed(config).items():
            if key[0] in (LISTENER, INLET):
                self.parts[key] = self._make(key, each)

    def _make(self, key: Key, config: Any) -> Part:
        node = self._node
        if key[0] == LISTENER:
            return ListenerPart(key, config, node)
        if key[0] == INLET:
            return InletPart(key, config, node, self._attestation, lambda: self.config, self.leaving, self._say)
        if key[0] == OUTLET:
            return OutletPart(key, config, node, self.reception)
        return RegistrationPart(key, config, node, self.offers.registered)

    # --------------------------------------------------------------- start

    def serveOne(self, over: Callable[[tuple[Outcome, str]], None]) -> None:
        """
        Have the inlets that are to accept one client do that.

        @param over: Told how that went.
        """
        for part in self.parts.values():
            if isinstance(part, InletPart) and part.config.once:
                serveOne(part.inlet).addCallback(over)

    def bind(self) -> Iterator[Deferred[None]]:
        """
        Open every door.

        @return: Each fires once one of them is open; fails with
            L{StateUnusable}.
        """
        for key, part in self.parts.items():
            if isinstance(part, InletPart):
                yield maybeDeferred(part.hear)
            if not _place(key, part.config):
                continue
            placed = cast(Placed, part)
            placed.door = door = Door(self._node.pool, _place(key, part.config))
            yield door.open().addCallback(self._opened, placed, door)

    def _opened(self, _: None, part: Placed, door: Door) -> None:
        if part.door is door:
            part.enter(door)

    def begin(self, reception: Reception, offers: Offers) -> None:
        """
        Begin with all others.  The node has its identity.
        """
        self.reception, self.offers = reception, offers
        if isNeeded(self.config):
            reception.open()
        for key, each in keyed(self.config).items():
            if key not in self.parts:
                self.parts[key] = self._make(key, each)

    def close(self) -> None:
        """
        Close every door, and look after nothing any more.
        """
        self.leaving.stop()
        for part in self.parts.values():
            if isinstance(part, ListenerPart | InletPart) and part.door is not None:
                part.door.close()

    # -------------------------------------------------------------- change

    async def become(self, config: NodeConfig, change: Difference) -> None:
        """
        Be as another configuration says.

        @param change: What is different.
        @raise StateUnusable: A port cannot be had; nothing has changed.
        """
        self._checkDatagrams(change)
        doors = await self._open(change)
        node, self.config = self._node, config
        node.streamSettings.resumeTimeout = config.resumeTimeout
        node.punctures.become(config.rendezvous)
        node.transport.settings.maxFrame = config.maxFrame
        self._attestation.change(config)
        self.reception.change(config)
        for key in change.removed:
            part = self.parts[key]
            if isinstance(part, InletPart):
                # Another one may be about to hear there.
                await part.deafen()
        # Whoever takes a door over does so before anybody leaves his.
        left = self._enter({key: door for key, door in doors.items() if key in change.changed})
        for key, each in change.added.items():
            self._add(key, each, doors.get(key))
        for key in change.removed:
            self._remove(key)
        for port in left:
            port.stopListening()
        for key, each in change.changed.items():
            self._change(key, each)
        for key in change.kept:
            part = self.parts[key]
            if isinstance(part, OutletPart):
                part.recheck()
            elif isinstance(part, InletPart):
                # The authority that attests its outlet may be another one.
                part.change(part.config)
        self.offers.change(config)

    def _checkDatagrams(self, change: Difference) -> None:
        """
        Could datagrams be heard where they are to be?

        @raise StateUnusable: No.
        """
        held = {part.config.udpListen for part in self.parts.values() if isinstance(part, InletPart)}
        for key, each in (*change.added.items(), *change.changed.items()):
            if key[0] == INLET and each.udpListen is not None and each.udpListen not in held:
                checkHearing(*each.udpListen)

    def _add(self, key: Key, config: Any, door: Door | None) -> None:
        part = self.leaving.back(key)
        if part is None:
            part = self._make(key, config)
            if isinstance(part, InletPart):
                part.hear()
        elif part.config != config:
            part.change(config)
        elif isinstance(part, OutletPart):
            part.recheck()
        self.parts[key] = part
        if door is not None:
            cast(Placed, part).enter(door)

    def _remove(self, key: Key) -> None:
        part = self.parts.pop(key)
        left = self.leaving.leave(part, self.config.drainTimeout)
        if isinstance(part, OutletPart):
            left.addCallback(lambda _: self.reception.close())

    def _enter(self, doors: dict[Key, Door]) -> list[Any]:
        """
        Let inlets listen elsewhere.

        @return: The ports that they had.
        """
        ports = []
        for key, door in doors.items():
            part = cast(InletPart, self.parts[key])
            ports.append(part.inlet.port)
            part.enter(door)
        return [port for port in ports if port is not None]

    def _change(self, key: Key, config: Any) -> None:
        part = self.parts[key]
        if isinstance(part, InletPart) and not _place(key, config) and part.door is not None:
            part.door = None
            part.inlet.drain()
        part.change(config)

    # --------------------------------------------------------------- doors

    async def _open(self, change: Difference) -> dict[Key, Door]:
        """
        Have all doors that are needed: those of parts that do not need theirs
        any more, and new ones.

        @raise StateUnusable: One cannot be had; everything is as it was.
        """
        needed = {key: _place(key, each) for key, each in change.added.items() if _place(key, each)}
        for key, each in change.changed.items():
            if _place(key, each) and _place(key, each) != _place(key, self.parts[key].config):
                needed[key] = _place(key, each)
        left = [key for key, each in change.changed.items() if not _place(key, each)]
        spare: list[Door] = []
        for key in (*change.removed, *needed, *left):
            part = self.parts.get(key)
            if isinstance(part, ListenerPart | InletPart) and part.door is not None:
                spare.append(part.door)
        doors: dict[Key, Door] = {}
        for key, text in needed.items():
            old = next((each for each in spare if each.text == text), None)
            if old is not None:
                spare.remove(old)
            doors[key] = old or Door(self._node.pool, text)
        fresh = [door for door in doors.values() if not door.isOpen]
        reasons = await _openAll(fresh)
        if reasons and spare:
            # Perhaps what is in the way is our own.
            for door in spare:
                await door.unbind()
            reasons = await _openAll(fresh)
        if reasons:
            for door in fresh:
                await door.close()
            reasons += await _openAll(spare)
            raise StateUnusable("; ".join(dict.fromkeys(reasons)))
        return doors


async def _openAll(doors: Iterable[Door]) -> list[str]:
    """
    Open those that are not open.

    @return: Why some cannot be opened.
    """
    reasons: list[str] = []

    def failed(failure: Failure) -> None:
        failure.trap(StateUnusable)
        reasons.append(failure.getErrorMessage())

    for opening in [maybeDeferred(door.open) for door in doors if not door.isOpen]:
        await opening.addErrback(failed)
    return reasons
