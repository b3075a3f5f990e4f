"""
Transfers over three hosts, for tests of what happens to them.
"""

from __future__ import annotations

from tests.scenarios.network import INLET_PORT, NetworkTestCase
from tests.scenarios.processes import Program
from tests.scenarios.transfers import Flow, Transfer, Transfers

#: Where inlet and outlet are at first, and after their hosts have moved.
_ADDRESSES = {"inlet": ("10.77.1.2", "10.77.1.3"), "outlet": ("10.77.2.2", "10.77.2.3")}


class FaultTestCase(NetworkTestCase):
    """
    Transfers over three hosts.

    @ivar transfers: What goes on.
    @ivar programs: The processes by host: C{relay}, C{outlet} and C{inlet}.
    @ivar options: Of inlet and outlet.
    @ivar inletOptions: Of the inlet alone.
    """

    options: tuple[str, ...] = ()
    inletOptions: tuple[str, ...] = ()

    def begin(self, count: int = 2, rate: float = 500_000) -> None:
        """
        Start everything, and transfers that have begun to be received.

        @param rate: Bytes in a second, in each direction of each.
        """
        self.transfers = Transfers(self.hosts["outlet"])
        self.addCleanup(self.transfers.close)
        self.programs: dict[str, Program] = {}
        for host in ("relay", "outlet", "inlet"):
            self.launch(host)
        for _ in range(count):
            self.add(rate)
        self.goOn()

    def launch(self, host: str) -> Program:
        """
        Start what runs on a host, or start it again.
        """
        if host == "relay":
            program = self.startRelay()
        elif host == "outlet":
            program = self.startOutlet(self.transfers.port, *self.options)
        else:
            program = self.startInlet(*self.options, *self.inletOptions)
        self.programs[host] = program
        return program

    def kill(self, host: str) -> None:
        """
        Kill what runs on a host.
        """
        process = self.programs[host].process
        process.kill()
        process.wait()

    def signal(self, host: str, number: int) -> None:
        """
        Send a signal to what runs on a host.
        """
        self.programs[host].process.send_signal(number)

    def add(self, rate: float = 500_000, downRate: float | None = None) -> Transfer:
        """
        Begin one more transfer: see L{Transfers.begin}.
        """
        return self.transfers.begin(self.hosts["inlet"].connect(INLET_PORT), rate, downRate)

    def change(self, **conditions: float) -> None:
        """
        Change both roads.
        """
        for road in self.roads.values():
            road.change(**conditions)

    def cut(self, host: str) -> None:
        """
        Reset the connections of a host to the relay.
        """
        self.hosts[host].run("ss", "-K", "dport", "=", ":4000")

    def move(self, host: str) -> None:
        """
        A host gets another address; the one that it had leads nowhere.
        """
        old, new = self._addresses[host]
        self._addresses[host] = new, old
        relay, moved = self.hosts["relay"], self.hosts[host]
        relay.ip("route", "add", "blackhole", f"{old}/32")
        relay.ip("route", "flush", "exact", f"{new}/32")
        moved.ip("address", "delete", f"{old}/24", "dev", "road")
        moved.ip("address", "add", f"{new}/24", "dev", "road")

    def setUp(self) -> None:
        """
        Build the network.
        """
        super().setUp()
        self._addresses = dict(_ADDRESSES)

    @property
    def flows(self) -> list[Flow]:
        """
        All directions of all transfers.
        """
        return [flow for each in self.transfers.all for flow in (each.up, each.down)]

    def report(self, what: str) -> None:
        """
        Say how it went.
        """
        pauses = " ".join(f"{flow.longest:.1f}" for flow in self.flows[:16])
        moved = sum(flow.received for flow in self.flows)
        print(f"\n      {what}; {moved / 1e6:.1f} MB; longest pauses, s: {pauses}", end="", flush=True)

    def check(self) -> None:
        """
        Nothing has gone wrong so far.
        """
        for each in self.transfers.all:
            if each.errors:
                logs = "\n".join(f"{host}:\n{its.text()[-2000:]}" for host, its in self.programs.items())
                self.fail(f"transfer {each.name.hex()}, seed {self.seed}: {each.errors}\n{logs}")

    def goOn(self, patience: float = 60.0) -> float:
        """
        Wait until each flow has received something new.

        @return: How long that took, seconds.
        """
        flows = self.flows
        before = [flow.received for flow in flows]

        def moved() -> bool:
            self.check()
            return all(flow.received > was for flow, was in zip(flows, before, strict=True))

        return self.until(moved, f"all transfers go on (seed {self.seed})", patience)

    def finish(self, patience: float = 60.0) -> None:
        """
        It is enough: every byte has to arrive, once and in order, and both
        ends see the end.
        """
        for each in self.transfers.all:
            each.enough.set()
        self.until(lambda: all(each.isOver for each in self.transfers.all), "all transfers end", patience)
        self.check()
        for flow in self.flows:
            self.assertTrue(flow.hasFinished)
            self.assertEqual(flow.received, flow.sent)
