"""
The plugins: options in, a configuration out, nothing more.
"""
