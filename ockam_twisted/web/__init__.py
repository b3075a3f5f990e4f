"""
Outlets that know HTTP: who is at the other end is told with each request.
"""
