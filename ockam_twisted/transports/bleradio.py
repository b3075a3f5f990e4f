"""
Bluetooth controllers, and what is done with them, by C{bumble}
(U{https://google.github.io/bumble}): it speaks HCI with a controller over USB
or a serial line, or with one that is a program.

A process opens each once.  All of it happens in the thread of one asyncio loop.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from importlib import import_module
from typing import Any

from twisted.internet.error import ConnectError, TimeoutError
from twisted.logger import Logger

from ockam_twisted.routing.addresses import printable
from ockam_twisted.transports.blelink import BLEAddress, BLELink
from ockam_twisted.wire.ble import AGREED, NOTIFIED, SERVICE, WRITTEN, Window

#: How often one attempt to connect looks for the peer, and how long each time, seconds.
#: Whoever wants to look longer tries again.
SCANS, SCAN = 4, 5.0

#: Seconds that everything else may take until there is a hop, on either side.
PATIENCE = 10.0

#: Milliseconds between what is told to everybody.
EACH = 100.0

#: The largest ATT MTU that is asked for, bytes.
MTU = 517

#: Packets that the controller and what leads to it may hold.
_PENDING = 32


def bumble(name: str) -> Any:
    """
    @param name: Of a module of it.
    @raise ValueError: It is not installed.
    """
    try:
        return import_module(f"bumble.{name}")
    except ImportError:
        raise ValueError("Bluetooth needs: pip install 'ockam_twisted[ble]'") from None


class Radio:
    """
    One controller, for as long as somebody uses it.
    """

    _log = Logger()
    _opening: asyncio.Task[None] | None = None
    _transport: Any = None
    _device: Any = None

    def __init__(self, adapter: str) -> None:
        """
        @param adapter: How C{bumble} calls it.
        """
        self._adapter = adapter
        self._users = 0
        self._connecting = asyncio.Lock()
        self._accept: Callable[[BLELink], bool] | None = None
        self._links: dict[Any, BLELink] = {}
        self._name = ""
        self._doing: set[asyncio.Future[None]] = set()

    # ------------------------------------------------------ open and close

    async def open(self) -> None:
        """
        One more uses it.

        @raise ConnectError: It cannot be had.
        """
        self._users += 1
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        try:
            await asyncio.shield(self._opening)
        except BaseException as error:
            await self.close()
            if not isinstance(error, Exception):
                raise
            why = printable(str(error) or type(error).__name__)
            raise ConnectError(string=f"no Bluetooth controller at {printable(self._adapter)}: {why}") from None

    async def _open(self) -> None:
        async with AsyncExitStack() as opened, asyncio.timeout(PATIENCE):
            transport = await bumble("transport").open_transport(self._adapter)
            opened.push_async_callback(self._shut, transport)
            device = bumble("device").Device.with_hci(
                "ockam", bumble("hci").Address.generate_static_address(), transport.source, transport.sink
            )
            device.on("connection", self._connected)
            device.add_service(self._service())
            await device.power_on()
            opened.pop_all()
        self._device, self._transport = device, transport
        transport.source.terminated.add_done_callback(lambda _: self._gone(device))

    async def _shut(self, transport: Any) -> None:
        # Without its controller not all of it can be closed as it should be.
        with suppress(Exception):
            await asyncio.wait_for(transport.close(), PATIENCE)

    def _gone(self, device: Any) -> None:
        """
        The controller is gone: somebody has pulled it out.
        """
        if device is not self._device:
            return
        self._forget()
        if self._accept is not None:
            self._log.warn("The Bluetooth controller is gone; waiting for it", event="bluetooth-gone")
            self._do(self._recover())

    def _forget(self) -> None:
        transport, self._transport = self._transport, None
        self._device = self._opening = None
        for connection in list(self._links):
            self._lost(connection)
        if transport is not None:
            self._do(self._shut(transport))

    async def _recover(self) -> None:
        while self._accept is not None and self._opening is None:
            await asyncio.sleep(SCAN)
            if self._opening is None:
                self._opening = asyncio.get_running_loop().create_task(self._open())
            opening = self._opening
            try:
                await asyncio.shield(opening)
                await self._advertise()
            except Exception:
                # Not yet.
                if self._opening is opening:
                    self._forget()

    async def close(self) -> None:
        """
        One who uses it does so no longer; the last one closes it.
        """
        if self._users == 1 and self._doing:
            # What is ending ends first.
            await asyncio.wait(self._doing, timeout=PATIENCE)
        self._users -= 1
        if self._users:
            return
        opening, self._opening = self._opening, None
        device, self._device = self._device, None
        transport, self._transport = self._transport, None
        if opening is not None and opening.cancel():
            # It closes what it has opened.
            await asyncio.wait([opening], timeout=PATIENCE)
        if device is not None:
            device.host.on_transport_lost()
            await self._shut(transport)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        doing = asyncio.ensure_future(what)
        self._doing.add(doing)
        doing.add_done_callback(self._doing.discard)

    # --------------------------------------------------------------- links

    def _link(self, connection: Any, name: str, send: Any, say: Any) -> BLELink:
        queue = self._device.host.get_data_packet_queue(connection.handle)

        async def moved() -> None:
            event = asyncio.Event()
            queue.once("flow", event.set)
            await event.wait()

        async def sendAndWait(fragment: bytes) -> None:
            await send(fragment)
            while queue.pending >= _PENDING:
                await moved()

        async def drain() -> None:
            # First all that waits here, in turn with that of others; then what the controller has.
            mark = queue.queued
            while queue.completed < mark:
                await moved()
            try:
                await queue.drain(connection.handle)
            except ValueError:
                # Nothing was ever sent, or the connection is gone.
                pass

        def disconnect() -> None:
            self._do(self._disconnect(connection))

        link = BLELink(BLEAddress(name), sendAndWait, say, drain, disconnect, lambda: int(connection.att_mtu))
        self._links[connection] = link
        loop = asyncio.get_running_loop()
        # What was written before the end is a task each, whose turn has not come yet.
        connection.on("disconnection", lambda reason: loop.call_soon(self._lost, connection))
        return link

    def _lost(self, connection: Any) -> None:
        link = self._links.pop(connection, None)
        if link is not None:
            link.lost()

    async def _disconnect(self, connection: Any) -> None:
        try:
            await asyncio.wait_for(connection.disconnect(), PATIENCE)
        except Exception:
            # It is gone, or so is the controller.
            self._lost(connection)

    # ---------------------------------------------------------- peripheral

    async def listen(self, name: str, accept: Callable[[BLELink], bool]) -> None:
        """
        Tell everybody around that we are here.

        @param accept: Called with each who has come, and says whether he may.
        """
        if self._accept is not None:
            raise ConnectError(string="this Bluetooth controller has one name, and listens already")
        self._accept = accept
        self._name = name
        await self._advertise()

    async def _advertise(self) -> None:
        data, kind = bumble("core").AdvertisingData, bumble("core").AdvertisingData.Type
        service = bytes(bumble("core").UUID(SERVICE))
        self._device.advertising_data = bytes(
            data([(kind.FLAGS, b"\x06"), (kind.COMPLETE_LOCAL_NAME, self._name.encode())])
        )
        self._device.scan_response_data = bytes(data([(kind.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, service)]))
        await self._device.start_advertising(advertising_interval_min=EACH, advertising_interval_max=EACH)

    async def stopListening(self) -> None:
        """
        Nobody can connect any more.
        """
        self._accept = None
        if self._device is not None:
            try:
                await asyncio.wait_for(self._device.stop_advertising(), PATIENCE)
            except Exception:
                # The controller is gone, and is silent.
                pass

    def _service(self) -> Any:
        gatt = bumble("gatt")
        kinds = gatt.Characteristic.Properties
        writing = kinds.WRITE | kinds.WRITE_WITHOUT_RESPONSE
        readable, writeable = gatt.Characteristic.READABLE, gatt.Characteristic.WRITEABLE

        def fragment(connection: Any, data: bytes) -> None:
            link = self._links.get(connection)
            if link is not None:
                self._begin(link)
                link.fragmentReceived(data)

        def agreement(connection: Any, data: bytes) -> None:
            link = self._links.get(connection)
            if link is not None:
                if not link.window.isAgreed:
                    link.say(Window.hello(int(connection.att_mtu)))
                link.agreementReceived(data)

        def subscribed(connection: Any, notify: bool, indicate: bool) -> None:
            link = self._links.get(connection)
            if link is not None and notify:
                self._begin(link)

        self._notified = gatt.Characteristic(NOTIFIED, kinds.NOTIFY, readable, b"")
        self._notified.on("subscription", subscribed)
        self._agreed = gatt.Characteristic(
            AGREED, writing | kinds.NOTIFY, writeable, gatt.CharacteristicValue(write=agreement)
        )
        written = gatt.Characteristic(WRITTEN, writing, writeable, gatt.CharacteristicValue(write=fragment))
        return gatt.Service(SERVICE, [self._notified, written, self._agreed])

    def _begin(self, link: BLELink) -> None:
        if link.behind is None and (self._accept is None or not self._accept(link)):
            link.abortConnection()

    def _connected(self, connection: Any) -> None:
        if connection.role != bumble("hci").Role.PERIPHERAL:
            return
        if self._accept is None:
            self._do(self._disconnect(connection))
            return
        server = self._device.gatt_server
        address = str(connection.peer_address)
        link = self._link(
            connection,
            address,
            lambda data: server.notify_subscriber(connection, self._notified, data),
            lambda data: server.notify_subscriber(connection, self._agreed, data),
        )
        # Who only connects does not stay.
        asyncio.get_running_loop().call_later(
            PATIENCE, lambda: None if link.behind is not None else link.abortConnection()
        )
        self._do(self._advertiseAgain())

    async def _advertiseAgain(self) -> None:
        # A controller stops when somebody connects.
        if self._accept is None:
            return
        try:
            await self._advertise()
        except Exception as error:
            self._log.warn(
                "Nobody else can connect over Bluetooth: {reason}",
                reason=printable(str(error)),
                event="bluetooth-silent",
            )

    # ------------------------------------------------------------- central

    async def connect(self, name: str) -> BLELink:
        """
        Look for a peripheral, and connect to it.

        @param name: Of it, or a part of its name; who has just that name goes
            first.
        """
        connection = None
        try:
            async with self._connecting:
                address = await self._find(name)
                connection = await self._device.connect_le(address, timeout=PATIENCE)
            async with asyncio.timeout(PATIENCE):
                return await self._meet(connection, name)
        except BaseException as error:
            if connection is not None:
                self._do(self._disconnect(connection))
            if isinstance(error, TimeoutError | ConnectError) or not isinstance(error, Exception):
                raise
            why = printable(str(error) or type(error).__name__)
            raise ConnectError(string=f"Bluetooth: {why}") from None

    async def _find(self, name: str) -> Any:
        found: dict[str, Any] = {}
        isThere = asyncio.Event()
        kind = bumble("core").AdvertisingData.Type

        def heard(advertisement: Any) -> None:
            names = advertisement.data.get_all(kind.COMPLETE_LOCAL_NAME) + advertisement.data.get_all(
                kind.SHORTENED_LOCAL_NAME
            )
            for each in names:
                if name in each and len(found) < 16:
                    found[each] = advertisement.address
                if name == each:
                    isThere.set()

        self._device.on("advertisement", heard)
        try:
            for _ in range(SCANS):
                await self._device.start_scanning(filter_duplicates=False)
                try:
                    await asyncio.wait_for(isThere.wait(), SCAN)
                except builtins.TimeoutError:
                    pass
                finally:
                    await self._device.stop_scanning()
                if found:
                    return found.get(name) or next(iter(found.values()))
        finally:
            self._device.remove_listener("advertisement", heard)
        raise TimeoutError(string=f"Bluetooth: nobody around is called {printable(name)}")

    async def _meet(self, connection: Any, name: str) -> BLELink:
        uuid = bumble("core").UUID
        client = connection.gatt_client
        await client.request_mtu(MTU)
        services = await client.discover_service(uuid(SERVICE))
        there: dict[Any, Any] = {}
        for service in services[:1]:
            there = {each.uuid: each for each in await client.discover_characteristics((), service)}
        notified, written, agreed = (there.get(uuid(each)) for each in (NOTIFIED, WRITTEN, AGREED))
        if notified is None or written is None:
            raise ConnectError(string=f"Bluetooth: {printable(name)} is there, but it is no Ockam node")
        link = self._link(
            connection,
            name,
            lambda data: client.write_value(written, data),
            lambda data: client.write_value(agreed, data),
        )
        if agreed is not None:
            await client.subscribe(agreed, lambda data: link.agreementReceived(bytes(data)))
            await client.write_value(agreed, Window.hello(int(connection.att_mtu)), with_response=True)
        await client.subscribe(notified, lambda data: link.fragmentReceived(bytes(data)))
        return link
