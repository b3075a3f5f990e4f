``ockam-twisted connect`` makes standard input and output one stream to a private service, for ``ssh -o ProxyCommand``, ``rsync``, ``git``
and pipes; ``--listen PORT`` connects one client of a port. The exit status tells refused, unreachable and lost apart.
