QUIC (quic:, /udp/PORT/quic): streams over UDP, exact although datagrams are lost, and going on when a client's address changes.
