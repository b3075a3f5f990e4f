"""
The commands that C{twist} and C{twistd} offer.

Everybody who runs C{twist} on a machine that has this package imports this
module: it names the code by strings and imports none of it.
"""

from twisted.application.service import ServiceMaker

ockamRelay = ServiceMaker(
    "ockam-relay",
    "ockam_twisted.tap.relay",
    "Ockam relay: a public meeting point that forwards messages it cannot read.",
    "ockam-relay",
)

ockamOutlet = ServiceMaker(
    "ockam-outlet",
    "ockam_twisted.tap.outlet",
    "Ockam portal outlet: makes a private TCP service reachable, with no open port.",
    "ockam-outlet",
)

ockamInlet = ServiceMaker(
    "ockam-inlet",
    "ockam_twisted.tap.inlet",
    "Ockam portal inlet: a local port that leads to the service behind an outlet.",
    "ockam-inlet",
)

ockamNode = ServiceMaker(
    "ockam-node",
    "ockam_twisted.tap.node",
    "Ockam node: any number of outlets, inlets and relays in one process, from a file.",
    "ockam-node",
)

ockamAuthority = ServiceMaker(
    "ockam-authority",
    "ockam_twisted.tap.authority",
    "Ockam authority: attests to many nodes who is a member, and hands out tickets.",
    "ockam-authority",
)
