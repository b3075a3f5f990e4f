"""
What a node remembers: one folder, one SQLite file, one writer.
"""
