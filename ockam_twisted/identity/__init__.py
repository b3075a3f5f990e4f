"""
Who somebody is and who is trusted: identifiers, change histories, purpose
keys, credentials, trust policies.  Pure; secrets stay behind the vault.
"""
