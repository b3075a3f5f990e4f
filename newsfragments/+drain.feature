``--drain-timeout`` of outlets and inlets lets open streams come to their end when a node is stopped. A machine that was suspended asks its peers at once, and a network that is back is used at once.
