"""
Tests that take minutes each.  C{trial tests} does not find them; they are run
by name: C{python -m twisted.trial tests.long.faults
tests.long.restarts tests.long.soak}.
"""
