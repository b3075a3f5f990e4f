``ockam-twisted ping`` shows how long connecting and each handshake take on the way to an outlet, and the round trip to each node on it.
