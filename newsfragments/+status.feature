``ockam-twisted status`` shows of every node on this machine who it is, which relays, ways and outlets are up, since when,
over what, and when the next try is of those that are not; ``--json`` is for programs.
