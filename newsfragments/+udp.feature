The UDP transport (udp:, /udp), beside Rust nodes of 0.150.
