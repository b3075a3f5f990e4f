"""
Direct ways between two hosts behind NATs: real processes in network namespaces, NATs by
nftables, real time.  Needs root; is skipped, loudly, without.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.scenarios.faults import FaultTestCase
from tests.scenarios.network import RELAY, RELAY_PORT, Host
from tests.scenarios.processes import Program, eachVariant, require

#: What a NAT does.  Each lets in only answers; a C{cone} keeps the port of who sends
#: wherever that goes, a C{symmetric} one takes another port for each destination.
_NAT = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority 100;
        oifname "road" masquerade %s
    }
}
table ip filter {
    chain input {
        type filter hook input priority 0;
        iifname "road" ct state new drop
    }
    chain forward {
        type filter hook forward priority 0;
        iifname "road" ct state new drop
    }
}
"""

KINDS = {"cone": "", "symmetric": "fully-random"}

#: Seconds in which the end of a direct way is noticed, and in which another one is found.
NOTICED, FOUND = 25.0, 90.0


class NATTestCase(FaultTestCase):
    """
    Inlet and outlet are each behind a NAT.  The relay's host is the internet, too.

    @ivar meeting: The address of the relay that the outlet asks.
    """

    meeting = RELAY[1]

    def setUp(self) -> None:
        """
        Put hosts behind those that there are.
        """
        require("nft")
        super().setUp()
        self.gateways: dict[str, Host] = {}
        relay = self.hosts["relay"]
        relay.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number, name in enumerate(("inlet", "outlet")):
            gateway = self.gateways[name] = self.hosts[name]
            host = self.hosts[name] = Host(f"{name}-lan")
            self.addCleanup(host.remove)
            gateway.ip("link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", host.name)
            for each, last in ((gateway, 1), (host, 2)):
                each.ip("address", "add", f"192.168.7{number}.{last}/24", "dev", "lan")
                each.ip("link", "set", "lan", "up")
            host.ip("route", "add", "default", "via", f"192.168.7{number}.1")
            gateway.ip("route", "add", "default", "via", RELAY[number])
            gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def translate(self, inlet: str, outlet: str) -> None:
        """
        @param inlet: The kind of the NAT there.
        """
        for name, kind in (("inlet", inlet), ("outlet", outlet)):
            rules = self.folder / f"{name}.nft"
            rules.write_text(_NAT % KINDS[kind])
            self.gateways[name].run("nft", "-f", str(rules))

    def startRelay(self, *options: str) -> Program:
        """
        It is the rendezvous, too.
        """
        return super().startRelay("--listen", f"udp:{RELAY_PORT}", *options)

    def startInlet(self, *options: str) -> Program:
        """
        It looks for direct ways.
        """
        return super().startInlet("--rendezvous", f"{RELAY[0]}:{RELAY_PORT}", *options)

    def startOutlet(self, target: int, *options: str) -> Program:
        """
        It looks for direct ways.
        """
        return super().startOutlet(target, "--rendezvous", f"{self.meeting}:{RELAY_PORT}", *options)

    def passed(self) -> int:
        """
        How many packets the relay's host has passed on from one NAT to the other.
        """
        said = self.hosts["relay"].run("cat", "/proc/net/snmp").splitlines()
        names, values = [line.split() for line in said if line.startswith("Ip:")]
        return int(values[names.index("ForwDatagrams")])


class DirectTests(NATTestCase):
    """
    A direct way is found.
    """

    def test_moves(self) -> None:
        """
        Streams move to a direct way, back to the relay when that breaks, and to another
        direct one when there can be one again; every byte arrives, once and in order.
        """
        self.translate("cone", "cone")
        self.begin(3)
        inlet = self.programs["inlet"]
        found = self.until(lambda: inlet.text().count("moved to directly") == 1, "a direct way", FOUND)
        self.goOn()
        before = self.passed()
        self.goOn()
        self.assertGreater(self.passed(), before)

        relay = self.hosts["relay"]
        relay.run("nft", "add table ip cut; add chain ip cut f { type filter hook forward priority 0; policy drop; }")
        lost = self.until(lambda: inlet.text().count("way to the outlet: up") == 2, "the relay again", NOTICED)
        self.goOn()
        before = self.passed()
        self.goOn()
        self.assertEqual(self.passed(), before)

        relay.run("nft", "delete", "table", "ip", "cut")
        self.until(lambda: inlet.text().count("moved to directly") == 2, "another direct way", FOUND)
        self.goOn()
        self.finish()
        self.report(f"direct after {found:.1f} s; back at the relay {lost:.1f} s after it broke")

    def test_relayGone(self) -> None:
        """
        A direct way needs no relay any more: new streams come to be without one.
        """
        self.translate("cone", "cone")
        self.begin(1)
        inlet = self.programs["inlet"]
        self.until(lambda: "moved to directly" in inlet.text(), "a direct way", FOUND)
        self.kill("relay")
        self.add()
        self.goOn()
        self.finish()

    def test_sameNAT(self) -> None:
        """
        Two behind the same NAT, which lets nobody come back in, find each other inside.
        """
        self.translate("cone", "cone")
        gateway, host = self.gateways["inlet"], self.hosts["outlet"]
        host.ip("link", "delete", "lan")
        gateway.ip("link", "add", "lan2", "type", "veth", "peer", "name", "lan", "netns", host.name)
        for each, last, device in ((gateway, 1, "lan2"), (host, 2, "lan")):
            each.ip("address", "add", f"192.168.71.{last}/24", "dev", device)
            each.ip("link", "set", device, "up")
        host.ip("route", "add", "default", "via", "192.168.71.1")
        # It answers from the address that is on this side.
        self.meeting = RELAY[0]
        self.begin(1)
        self.until(lambda: "moved to directly" in self.programs["inlet"].text(), "a direct way", FOUND)
        before = self.passed()
        self.goOn()
        self.assertEqual(self.passed(), before)
        self.assertIn("directly, udp 192.168.71.2:", self.status("inlet"))
        self.finish()

    def test_status(self) -> None:
        """
        Where the other end is shows in the status.
        """
        self.translate("cone", "cone")
        self.begin(1)
        self.until(lambda: "moved to directly" in self.programs["inlet"].text(), "a direct way", FOUND)
        said = self.status("inlet")
        self.assertIn(f"directly, udp {self.outside('outlet')}:", said)
        self.finish()

    def status(self, host: str) -> str:
        """
        What C{ockam-twisted status} says there.
        """
        folder = str(self.folder / host)
        return self.hosts[host].run(sys.executable, "-m", "ockam_twisted.command", "status", "--state-dir", folder)

    def outside(self, host: str) -> str:
        """
        The address of a NAT.
        """
        return {"inlet": "10.77.1.2", "outlet": "10.77.2.2"}[host]


def _pair(test: Any, variant: str) -> Any:
    return lambda self: test(self, *variant.split("-"))


@eachVariant("symmetric-cone", "cone-symmetric", "symmetric-symmetric", call=_pair)
class NoDirectTests(NATTestCase):
    """
    There is no direct way.
    """

    def test_stays(self, inlet: str, outlet: str) -> None:
        """
        Where a NAT takes another port for each destination the relay stays in use, and
        the log says why.
        """
        self.translate(inlet, outlet)
        self.begin(1)
        said = self.programs["inlet"].text
        self.until(lambda: "there is no direct way: no datagram gets through" in said(), "it gives up", FOUND)
        self.goOn()
        self.assertNotIn("moved to", said())
        self.finish()
