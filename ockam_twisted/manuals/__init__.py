"""
What is written from the options of the commands: manual pages, completions of
shells, and the reference among the documents.
"""
