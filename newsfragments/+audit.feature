``--audit-log FILE`` has a record of each decision about trust: channels, streams, relay names, tickets, members, credentials and keys.
