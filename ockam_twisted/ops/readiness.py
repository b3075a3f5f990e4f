"""
Is a node ready?  When everything that it was told to keep up is up.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Readiness:
    """
    Whether a node is ready, and if not, why.

    @ivar reasons: What is missing, for people; empty if nothing is.
    """

    reasons: tuple[str, ...] = ()

    @property
    def isReady(self) -> bool:
        """
        Is nothing missing?
        """
        return not self.reasons

    def asJSON(self) -> dict[str, Any]:
        """
        The same, of nothing but what JSON can hold.
        """
        return {"ready": self.isReady, "reasons": list(self.reasons)}


def readiness(status: Any, life: str) -> Readiness:
    """
    Find out from a picture of a node.

    @param status: L{ockam_twisted.interfaces.INodeStatus}.
    @param life: C{running} once its state is open and everything it listens
        on is bound, and it was not asked to stop.
    """
    if life != "running":
        return Readiness((f"the node is {life}",))
    down = (each for each in status.sessions if not each.state.startswith("up"))
    return Readiness(tuple(f"{each.label}: {each.why or each.state}" for each in down))
