"""
Members, tickets and credentials.  Nothing is here yet.
"""
