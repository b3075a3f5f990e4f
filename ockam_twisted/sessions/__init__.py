"""
L6: keeping a way alive.  The only place that retries.
"""
