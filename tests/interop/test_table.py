"""
Every role of a portal against every other, in real processes: inlet, outlet
and relay of ours and of two releases of the Rust implementation.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.interop.peers import OURS, RELEASES, InteropTestCase


class TableTests(InteropTestCase):
    """
    20 MiB each way, checked byte for byte, and 50 clients at once, in every
    cell of the table.
    """

    def cell(self, inlet: str, outlet: str, relay: str) -> None:
        """
        One cell.
        """
        target, port, here, there = self.portal(inlet, outlet, relay)
        self.works(port, target)
        self.endsWell(here, there)


def _cells() -> list[tuple[str, str, str]]:
    relays = (OURS, *RELEASES, "")
    cells = [(OURS, OURS, relay) for relay in relays]
    for release in RELEASES:
        cells += [(OURS, release, relay) for relay in relays]
        cells += [(release, OURS, relay) for relay in relays]
        cells += [(release, other, OURS) for other in RELEASES]
    return cells


def _test(inlet: str, outlet: str, relay: str) -> Callable[[TableTests], None]:
    def test(self: TableTests) -> None:
        self.cell(inlet, outlet, relay)

    test.__doc__ = f"Inlet {inlet}, outlet {outlet}, {'relay ' + relay if relay else 'no relay'}."
    return test


for _inlet, _outlet, _relay in _cells():
    setattr(TableTests, f"test_{_inlet}_{_outlet}_{_relay or 'direct'}", _test(_inlet, _outlet, _relay))
