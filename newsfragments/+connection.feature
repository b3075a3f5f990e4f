Policies may ask who is at the other end of a connection: the user of a Unix socket, or whose TLS certificate it is, which a listener may demand (ssl:…:clients=).
