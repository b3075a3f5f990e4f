"""
Who has to make room when there are too many channels.

An identity costs nothing, and what is behind a connection can be made up; the
connection cannot.  So whoever makes many drops its own channels, and those of
who shares its connection, but nobody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.peers import Peers


def crowd(channels: Iterable[SecureChannel], peers: Peers) -> list[SecureChannel]:
    """
    @param channels: Those that there are, in any order.
    @param peers: Of the node that they are of.
    @return: Those of the connection that has most of them, in the same order;
        if several have as many, those of all these.
    """
    connections = {channel: _connection(channel, peers) for channel in channels}
    counts = Counter(connections.values())
    most = max(counts.values(), default=0)
    return [channel for channel, connection in connections.items() if counts[connection] == most]


def _connection(channel: SecureChannel, peers: Peers) -> Address:
    """
    What a channel came by, also if that was within other channels.
    """
    hop = channel.standing.info.hop
    while (outer := peers.find(hop)) is not None:
        hop = outer.hop
    return hop
