"""
What a node shows of itself.
"""

from __future__ import annotations

from attrs import frozen
from zope.interface import implementer

from ockam_twisted.interfaces import INodeStatus


@implementer(INodeStatus)
@frozen
class NodeStatus:
    """
    See L{INodeStatus}.
    """

    name: str
    identifier: str
    listeners: tuple[str, ...]
    sessions: tuple[tuple[str, str, str], ...]
    streams: int
