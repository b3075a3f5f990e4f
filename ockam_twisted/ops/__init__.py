"""
What operators see.  Nothing is here yet.
"""
