A node shows how it is over HTTP (``--http``): ``/health``, ``/ready`` with what is missing, ``/metrics`` for Prometheus, ``/status``, to this machine alone unless asked otherwise.
