"""
The node that a command runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.assembly import NodeService
from ockam_twisted.config import NodeConfig
from ockam_twisted.errors import OckamError


class CommandService(NodeService):
    """
    A node whose end is the end of this process, with an exit status.
    """

    def __init__(
        self, config: NodeConfig, reactor: Any, reread: Callable[[], NodeConfig] | None = None, daemon: Any = None
    ) -> None:
        """
        @param reread: See L{NodeService}.
        @param daemon: The options of C{twistd} or C{twist}.
        """
        super().__init__(config, reactor, reread)
        # Whoever runs it, the log has it under the same layer.
        self._log = Logger(f"{NodeService.__module__}.{NodeService.__name__}", self)
        self._daemon = daemon or {}

    def startService(self) -> None:
        """
        Open the state and begin; what is in the way is one line in the log, and
        the end.

        @raise OckamError: The same, in the background: whoever has started
            C{twistd} there waits for it.
        """
        try:
            super().startService()
        except OckamError:
            if self._daemon.get("statusPipe") is not None:
                raise
            self.cannotStart(Failure())
