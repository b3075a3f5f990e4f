``--relay`` of an outlet may name several relays: the ticket lists them all, and an inlet goes on to the next one, with
its open streams, when the one in use is lost.  ``--to`` of an inlet may be repeated and takes ``IDENTIFIER@MULTIADDR``,
for several outlets of one service, each with its own identity; so does ``ockam-twisted ticket create --command
ockam-authority``.  New streams go to an outlet that is up.
