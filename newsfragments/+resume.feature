Open streams survive their way: between two nodes of this package a broken connection, a restarted relay or another
network is only a pause, for up to ``--resume-timeout`` seconds.  Each stream has a window of its own, so that who does
not read stalls nobody else; half-closed connections stay half-open end to end; a refused connection says why.
