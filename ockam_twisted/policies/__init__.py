"""
The access expression language.  Nothing is here yet.
"""
