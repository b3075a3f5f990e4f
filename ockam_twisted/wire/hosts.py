"""
What counts as one source, where things are counted by source address.  Pure.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network


def network(host: str) -> str:
    """
    @param host: An IP address, maybe with a scope; or anything else.
    @return: What counts as one source: an IPv6 host has its whole /64, and
        anything that is no IP address is one by itself.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        # Who listens at both families sees IPv4 so.
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
