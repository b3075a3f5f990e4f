"""
The tasks of C{ockam-twisted} that are about a node on this machine: what can
be said, and what is printed.
"""
