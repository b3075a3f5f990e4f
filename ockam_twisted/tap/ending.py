"""
The exit status of C{twist}, which has none of its own to give: what fails while
the reactor runs would end it with 0.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any


def endWithStatus(service: Any) -> None:
    """
    Have this process end with the status that a service has by then, once all
    has ended as it should.

    @param service: Its C{exitStatus} is that; 0: it says nothing.
    """
    atexit.register(_leave, service)


def _leave(service: Any) -> None:
    if service.exitStatus:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass
        os._exit(service.exitStatus)
