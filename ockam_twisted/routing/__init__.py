"""
L1: messages find workers.
"""
