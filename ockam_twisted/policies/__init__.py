"""
Who may use what: Ockam's expression language over identities and attributes.
"""
