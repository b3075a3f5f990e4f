"""
What the other processes of a relay run; nobody starts it by hand.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

from twisted.logger import globalLogBeginner

from ockam_twisted.processes.child import DESCRIPTOR
from ockam_twisted.processes.other import OtherProcess
from ockam_twisted.tap.garbage import collectSeldom


def main(number: int) -> None:
    """
    Be a process of a relay, until the first one says that it is over, or is
    gone.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed

    # A terminal and a service manager tell all processes; when they end is
    # for the first one to say.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    os.set_inheritable(DESCRIPTOR, False)
    other = OtherProcess(reactor, socket.socket(fileno=DESCRIPTOR), number)
    globalLogBeginner.beginLoggingTo([other.observer()], redirectStandardIO=False)
    other.start()
    reactor.callWhenRunning(collectSeldom)
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
