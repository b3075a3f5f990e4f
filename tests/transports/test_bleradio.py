"""
Tests for L{ockam_twisted.transports.bleradio}; with controllers that are
programs, over sockets of loopback, in real time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.error import ConnectError, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import bleradio
from ockam_twisted.transports.blelink import BLELink
from ockam_twisted.transports.bleradio import Radio, bumble
from ockam_twisted.wire.ble import AGREED, FRAGMENT, NOTIFIED, SERVICE, WRITTEN, fragments
from tests.transports.radios import Socket, inLoop
from tests.transports.test_blelink import Behind


class Visitors:
    """
    Accepts who comes.
    """

    def __init__(self) -> None:
        self.links: list[BLELink] = []
        self.behinds: list[Behind] = []

    def __call__(self, link: BLELink) -> bool:
        self.links.append(link)
        self.behinds.append(Behind())
        link.begin(self.behinds[-1])
        return True


async def until(condition: Any) -> None:
    """
    Wait for it.
    """
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def both(one: str, other: str, name: str, visitors: Visitors) -> AsyncIterator[tuple[Radio, Radio]]:
    """
    A peripheral that listens, and a central; closed afterwards.
    """
    peripheral, central = Radio(one), Radio(other)
    await peripheral.open()
    await peripheral.listen(name, visitors)
    await central.open()
    yield peripheral, central
    await peripheral.stopListening()
    await peripheral.close()
    await central.close()


class RadioTests(SynchronousTestCase):
    """
    Tests for L{Radio}.
    """

    def test_meet(self) -> None:
        """
        A central finds a peripheral by a part of its name, both agree on long fragments, messages
        go both ways, and either hears of the end; then there may be another one.
        """
        self.patch(bleradio, "SCAN", 1.0)

        async def doing(one: str, other: str) -> None:
            visitors = Visitors()
            async with both(one, other, "a fine otter", visitors) as (_, central):
                for ending in ("central", "peripheral"):
                    link = await central.connect("otter" if ending == "central" else "a fine otter")
                    behind = Behind()
                    link.begin(behind)
                    await until(lambda: len(visitors.links) == 1)
                    self.assertTrue(link.window.isAgreed)
                    self.assertEqual((link.window.fragment, visitors.links[0].window.fragment), (512, 512))
                    for number in range(200):
                        link.write(b"%d " % number * 200)
                        visitors.links[0].write(b"%d-" % number * 200)
                    await until(lambda: len(behind.messages) == 200)  # noqa: B023
                    await until(lambda: len(visitors.behinds[0].messages) == 200)
                    self.assertEqual(behind.messages, [b"%d-" % number * 200 for number in range(200)])
                    self.assertEqual(visitors.behinds[0].messages, [b"%d " % number * 200 for number in range(200)])
                    (link if ending == "central" else visitors.links[0]).loseConnection()
                    await until(lambda: behind.reason and visitors.behinds[0].reason)  # noqa: B023
                    visitors.links.clear()
                    visitors.behinds.clear()

        inLoop(2, doing)

    def test_lastWords(self) -> None:
        """
        What comes from the controller together with the end, and before it, arrives.
        """

        async def doing(one: str, other: str) -> None:
            visitors = Visitors()
            async with both(one, other, "otter", visitors) as (peripheral, central):
                for ending in ("central", "peripheral"):
                    link = await central.connect("otter")
                    link.begin(behind := Behind())
                    await until(lambda: visitors.links)
                    here, there, reader = link, visitors.behinds[0], peripheral
                    if ending == "peripheral":
                        here, there, reader = visitors.links[0], behind, central
                    source = reader._transport.source
                    held: list[bytes] = []
                    source.data_received, read = held.append, source.data_received
                    for number in range(5):
                        here.write(b"%d" % number)
                    here.loseConnection()
                    await until(lambda: behind.reason or visitors.behinds[0].reason)
                    await asyncio.sleep(0.2)
                    self.assertEqual(there.messages, [])
                    source.data_received = read
                    read(b"".join(held))
                    await until(lambda: behind.reason and visitors.behinds[0].reason)
                    self.assertEqual(there.messages, [b"%d" % number for number in range(5)])
                    visitors.links.clear()
                    visitors.behinds.clear()

        inLoop(2, doing)

    def test_another(self) -> None:
        """
        A central that knows nothing but the specification writes short fragments, and gets such.
        """

        async def doing(one: str, other: str) -> None:
            visitors = Visitors()
            async with both(one, other, "otter", visitors) as (_, central):
                device: Any = central._device
                connection = await device.connect_le(await central._find("otter"))
                client, uuid = connection.gatt_client, bumble("core").UUID
                [service] = await client.discover_service(uuid(SERVICE))
                found = {each.uuid: each for each in await client.discover_characteristics((), service)}
                self.assertIn(uuid(AGREED), found)
                got: list[bytes] = []
                await client.subscribe(found[uuid(NOTIFIED)], lambda data: got.append(bytes(data)))
                for fragment in fragments(b"hello from somebody else"):
                    await client.write_value(found[uuid(WRITTEN)], fragment)
                await until(lambda: visitors.behinds and visitors.behinds[0].messages)
                self.assertEqual(visitors.behinds[0].messages, [b"hello from somebody else"])
                answer = b"hello from one of ours, in many short words"
                visitors.links[0].write(answer)
                await until(lambda: len(b"".join(got)) == 8 + len(answer))
                self.assertEqual(got, list(fragments(answer, FRAGMENT)))
                await client.write_value(found[uuid(WRITTEN)], b"garbage")
                await until(lambda: visitors.behinds[0].reason)

        inLoop(2, doing)

    def test_nobody(self) -> None:
        """
        Nobody of that name, somebody who is no node, and no controller are errors that say so.
        """
        self.patch(bleradio, "SCAN", 0.2)

        async def doing(one: str, other: str) -> None:
            central, stranger = Radio(one), Radio(other)
            await central.open()
            with self.assertRaises(TimeoutError) as nobody:
                await central.connect("otter")
            self.assertIn("otter", str(nobody.exception))
            await stranger.open()
            device: Any = stranger._device
            for service in [each for each in device.gatt_server.attributes if str(SERVICE) in str(each)]:
                device.gatt_server.attributes.remove(service)
            data = bumble("core").AdvertisingData
            device.advertising_data = bytes(data([(data.Type.COMPLETE_LOCAL_NAME, b"headphones")]))
            stranger._accept = lambda link: True
            device.gatt_server.attributes.clear()
            device.gatt_server.attributes_by_handle.clear()
            await device.start_advertising()
            with self.assertRaises(ConnectError) as error:
                await central.connect("headphones")
            self.assertIn("Bluetooth", str(error.exception))
            await central.close()
            await stranger.close()
            with self.assertRaises(ConnectError) as missing:
                await Radio("tcp-client:127.0.0.1:1").open()
            self.assertIn("no Bluetooth controller at tcp-client:127.0.0.1:1", str(missing.exception))

        inLoop(2, doing)

    def test_refused(self) -> None:
        """
        Who may not come, and who connects and says nothing, is let go; others may come after.
        """
        self.patch(bleradio, "PATIENCE", 2.0)

        async def doing(one: str, other: str) -> None:
            peripheral, central = Radio(one), Radio(other)
            await peripheral.open()
            await peripheral.listen("otter", lambda link: False)
            with self.assertRaises(ConnectError):
                await peripheral.listen("beaver", lambda link: True)
            await central.open()
            device: Any = central._device
            for _ in range(2):
                gone: list[Any] = []
                connection = await device.connect_le(await central._find("otter"))
                connection.on("disconnection", gone.append)
                await until(lambda: gone)  # noqa: B023
            await peripheral.close()
            await central.close()

        inLoop(2, doing)

    def test_pulledOut(self) -> None:
        """
        A controller that is pulled out is let go, and so is each that does not work in its place, or does not
        advertise; one that does is used, and let go in the end.
        """
        self.patch(bleradio, "SCAN", 0.05)

        async def doing(one: str, other: str) -> None:
            socket = Socket(one)
            await socket.plug()
            visitors, peripheral, central = Visitors(), Radio(socket.name), Radio(other)
            await peripheral.open()
            await peripheral.listen("otter", visitors)
            socket.isMute = True
            self.patch(bleradio, "PATIENCE", 0.2)
            # What USB says when it is pulled out; whatever was opened stays open.
            peripheral._transport.source.on_transport_lost()
            await until(lambda: socket.tries > 5)
            self.assertLessEqual(socket.open, 2)
            advertise, tries, isBack = peripheral._advertise, 0, False

            async def hesitant() -> None:
                nonlocal tries, isBack
                tries += 1
                if tries < 4:
                    raise ConnectError
                await advertise()
                isBack = True

            peripheral._advertise = hesitant  # type: ignore[method-assign]
            bleradio.PATIENCE = 10.0
            socket.isMute = False
            await until(lambda: isBack)
            await central.open()
            link = await central.connect("otter")
            link.begin(Behind())
            link.write(b"back again")
            await until(lambda: visitors.behinds and visitors.behinds[0].messages)
            self.assertEqual((visitors.behinds[0].messages, socket.open), ([b"back again"], 1))
            await peripheral.stopListening()
            await peripheral.close()
            await central.close()
            await until(lambda: not socket.open)

        inLoop(2, doing)

    def test_givenUp(self) -> None:
        """
        Who no longer wants a controller that has not answered yet has it let go, before that is over.
        """

        async def doing(one: str) -> None:
            socket = Socket(one)
            await socket.plug()
            socket.isMute = True
            opening = asyncio.ensure_future(Radio(socket.name).open())
            await until(lambda: socket.open)
            opening.cancel()
            await asyncio.wait([opening])
            self.assertTrue(opening.cancelled())
            await until(lambda: not socket.open)

        inLoop(1, doing)

    def test_missing(self) -> None:
        """
        Without C{bumble} the error says how to get it.
        """
        self.patch(sys, "modules", {**sys.modules, "bumble.device": None})
        error = self.assertRaises(ValueError, bumble, "device")
        self.assertEqual(str(error), "Bluetooth needs: pip install 'ockam_twisted[ble]'")
