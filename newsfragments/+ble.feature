Nodes connect by Bluetooth Low Energy (ble:, /ble/NAME), with the extra ``ble`` and the asyncio reactor.
