"""
A relay of several processes: the first one decides, all of them forward.
"""
