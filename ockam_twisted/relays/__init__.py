"""
L5: reachability.
"""
