Nodes connect by WebSocket (ws:, wss:, /ws, /wss), also through an HTTP proxy, by TLS (/tls), and over Unix sockets in the framing of the Rust implementation (uds:, /unix).
