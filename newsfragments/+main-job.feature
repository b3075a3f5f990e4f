A private TCP service becomes reachable from elsewhere without opening a port:
``twist ockam-relay``, ``twist ockam-outlet`` and ``twist ockam-inlet`` carry its
streams through mutually authenticated, end-to-end encrypted Ockam secure channels
that the relay in the middle cannot read.
