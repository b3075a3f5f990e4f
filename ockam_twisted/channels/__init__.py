"""
L3: secure channels, end to end.
"""
