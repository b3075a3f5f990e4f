"""
Tests of L{ockam_twisted.processes}.
"""
