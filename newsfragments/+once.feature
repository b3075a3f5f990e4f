``ockam-inlet --once`` accepts one client and ends when it has, with the exit status of ``ockam-twisted connect``; what keeps a node from
starting after the reactor runs ends ``twist`` with status 1, not 0.
