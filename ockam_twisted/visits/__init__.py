"""
What ends by itself: a node for as long as a command needs it.
"""
