Beside a download or an upload over a slow road (1 Mbit/s) a new connection has its answer in less than a second; it took four.
