What a client has said when it connects goes with the request for its stream: its answer is there after one round trip
through the portal rather than two. The target is told once, whatever becomes of the way.
