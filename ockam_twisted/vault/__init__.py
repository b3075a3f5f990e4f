"""
Keys and primitives, behind L{ockam_twisted.interfaces.IVault}.
"""
