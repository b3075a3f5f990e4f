"""
The parts of a node that come, go and change while it runs: listeners, inlets,
outlets and registrations.
"""
