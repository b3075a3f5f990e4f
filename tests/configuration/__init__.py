"""
Tests for L{ockam_twisted.configuration}.
"""
