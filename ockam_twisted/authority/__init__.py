"""
Who is a member, how one becomes one, and what is attested of them.
"""
