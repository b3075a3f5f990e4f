"""
L2: one hop between two nodes.
"""
