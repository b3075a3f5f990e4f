A process that has no file descriptors left lets new connections wait, says so in one line, and accepts them as soon as there are some.
