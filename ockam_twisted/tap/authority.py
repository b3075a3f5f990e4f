"""
C{twist ockam-authority}: attests who is a member, for many nodes.
"""

from __future__ import annotations

from attrs import evolve

from ockam_twisted.config import NodeConfig, TrustConfig, listenEndpoint
from ockam_twisted.configuration.parts import AuthorityServiceSettings
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.tap.options import NodeOptions, makeNodeService


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-authority"
    synopsis = "[options]"
    longdesc = (
        "Keeps a list of members with attributes, and attests to each what it has, for as long as it is a member. "
        "Outlets, inlets and relays that are started with --authority go by its word. Tickets make members."
    )
    examples = """\
  It prints what goes behind --authority:
    twist ockam-authority --reached-at authority.example.com:4100
  A ticket that makes a database administrator:
    ockam-twisted ticket create --command ockam-authority --attribute dba=true
  A ticket that makes an outlet which inlets with --allow '(= subject.ockam-outlet "db")' accept:
    ockam-twisted ticket create --command ockam-authority --outlet db
"""

    def settings(self) -> NodeSettings:
        """
        See L{NodeOptions.settings}.
        """
        listeners = self["listen"] or ("tcp:4100",)
        return NodeSettings(
            state=self.state(),
            log=self.log(),
            listen=tuple(listenEndpoint(text, "--listen", everywhere=True) for text in listeners),
            authorityService=AuthorityServiceSettings(enrollers=self.read("enroller"), members=self.read("members")),
            **self.some("reached-at", "credential-lifetime", "max-frame", "http"),
        )

    def config(self) -> NodeConfig:
        """
        See L{NodeOptions.config}.
        """
        # It has no streams that could end, and members get something for
        # proving who they are.
        return evolve(super().config(), drainTimeout=0.0, trust=TrustConfig(everyone=True))


makeService = makeNodeService
