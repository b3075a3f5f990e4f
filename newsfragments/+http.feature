A node shows how it is over HTTP (``--http``): ``/health``, ``/ready`` with what is missing, ``/metrics`` for Prometheus, ``/status`` as JSON, and as a page for people with a live picture of the node; to this machine alone unless asked otherwise.
A dashboard for Grafana and alerts are in ``docs/grafana``.
