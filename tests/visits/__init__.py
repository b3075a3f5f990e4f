"""
Tests for L{ockam_twisted.visits}.
"""
