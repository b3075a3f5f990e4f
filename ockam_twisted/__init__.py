"""
Ockam's protocol, natively in Twisted: private TCP services become reachable
through mutually authenticated, end-to-end encrypted channels.

The folder is the protocol.  Innermost layer first:

  - L0 L{wire<ockam_twisted.wire>}: bytes and values, pure
  - L1 L{routing<ockam_twisted.routing>}: messages find workers
  - L2 L{transports<ockam_twisted.transports>}: one hop between two nodes
  - who somebody is:
      - L{vault<ockam_twisted.vault>}: keys and primitives
      - L{identity<ockam_twisted.identity>}: identifiers, change histories,
        purpose keys, credentials, trust policies
      - L{policies<ockam_twisted.policies>}: the access expression language
  - L3 L{channels<ockam_twisted.channels>}: secure channels
  - L4 L{portals<ockam_twisted.portals>}: byte streams across routes
  - L5 L{relays<ockam_twisted.relays>}: reachability
      - L{services<ockam_twisted.services>}: echo and other workers
      - L{authority<ockam_twisted.authority>}: members, tickets, credentials
  - L6 L{sessions<ockam_twisted.sessions>}: keeping a way alive

Transports, channels, portals and relays never import one another: they meet
in the router, by address.  L{node<ockam_twisted.node>} assembles them from a
L{config<ockam_twisted.config>}, with L{storage<ockam_twisted.storage>} and
L{ops<ockam_twisted.ops>} behind interfaces; L{tap<ockam_twisted.tap>} (the
C{twist} plugins), L{endpoints<ockam_twisted.endpoints>},
L{control<ockam_twisted.control>}, L{visits<ockam_twisted.visits>} (a node for
as long as a command needs it) and L{command<ockam_twisted.command>} are its
skins.  Every seam is in L{interfaces<ockam_twisted.interfaces>}, in this order.

This module imports nothing, since whoever lists plugins pays for it.
"""

__version__ = "0.1.0"
