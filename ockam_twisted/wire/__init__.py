"""
L0: bytes and values.  Pure.
"""
