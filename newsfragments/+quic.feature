QUIC (quic:, /udp/PORT/quic): streams over UDP, exact over roads that lose datagrams, and for clients whose address changes.
