A passphrase may be in an environment variable (``--passphrase env:NAME``).
