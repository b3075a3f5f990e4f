"""
Tests of the package, which mirror it.
"""

from contextlib import suppress as _ignoring

with _ignoring(ImportError):
    from hypothesis import HealthCheck, settings

    # A machine that pauses for a second says nothing about a test.
    settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("unhurried")
