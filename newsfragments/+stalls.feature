A program that does not read from a stream without windows (from or to a node of another implementation) holds up the
other streams of its connection later and for a shorter time: after 4 MiB instead of 1 MiB, and for 5 seconds, then its
stream is reset.  It is reset after half a minute also if nobody else is known to use the connection, which nobody new
could.
