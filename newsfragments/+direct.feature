Past the relay: with --rendezvous inlets and outlets find a direct way through NATs, and streams move to it and back.
