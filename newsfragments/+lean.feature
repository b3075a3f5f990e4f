A new connection through a portal takes less CPU time: a tenth fewer calls of Python, and fewer of the kernel.
