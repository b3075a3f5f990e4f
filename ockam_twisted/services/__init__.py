"""
Small workers that every node may offer, and requests.
"""
