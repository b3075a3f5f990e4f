"""
L4: byte streams across routes.
"""
