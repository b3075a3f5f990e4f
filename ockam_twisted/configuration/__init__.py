"""
What an operator may write, in options and in files: declared once
(C{settings.py}), read from both.
"""
