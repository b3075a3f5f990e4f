"""
What the kernel is to wait for on behalf of a pool of sockets, where it has
C{epoll}.
"""

from __future__ import annotations

import select
from typing import Any


class Poller:
    """
    Tells the kernel about sockets: at once, or what has become of each at the
    end of a pass, since much is taken back until then.

    @ivar changed: The numbers of those of which it is still to be told.
    """

    def __init__(self) -> None:
        self.changed: dict[int, tuple[Any, int]] = {}
        self._epoll = select.epoll()
        self._known: dict[int, tuple[Any, int]] = {}
        self._isPassing = False

    def fileno(self) -> int:
        """
        The descriptor that is ready when one of the sockets is.
        """
        return self._epoll.fileno()

    def poll(self, most: int) -> list[tuple[int, int]]:
        """
        @return: Number and events of so many sockets that are ready now.
        """
        return self._epoll.poll(0, most)

    def begin(self) -> None:
        """
        A pass begins.
        """
        self._isPassing = True

    def end(self) -> None:
        """
        The pass is over.
        """
        self._isPassing = False
        changed, self.changed = self.changed, {}
        for fd, (selectable, mask) in changed.items():
            self._tell(fd, selectable, mask)

    def change(self, fd: int, selectable: Any, mask: int) -> None:
        """
        @param fd: The number of a socket.
        @param selectable: Whose it is, if anybody's; its C{fileno} is another
            one once it is closed.
        @param mask: What is waited for; 0: nothing.
        """
        if self._isPassing:
            self.changed[fd] = selectable, mask
        else:
            self._tell(fd, selectable, mask)

    def _tell(self, fd: int, selectable: Any, wanted: int) -> None:
        owner, mask = self._known.get(fd, (None, 0))
        if owner is not selectable and mask and owner.fileno() != fd:
            # It was closed, and so the kernel knows it no more.
            mask = 0
        if wanted:
            self._known[fd] = selectable, wanted
        else:
            self._known.pop(fd, None)
        if wanted == mask:
            return
        if not wanted:
            self._epoll.unregister(fd)
        elif mask:
            self._epoll.modify(fd, wanted)
        else:
            try:
                self._epoll.register(fd, wanted)
            except FileExistsError:
                # It was not closed: somebody else looks after it now.
                self._epoll.modify(fd, wanted)

    def forget(self, fd: int) -> None:
        """
        What is ready is nobody's.
        """
        if fd not in self._known:
            try:
                self._epoll.unregister(fd)
            except (OSError, ValueError):
                # Its descriptor is closed, and somewhere there is another one;
                # or so is this poller.
                pass

    def close(self) -> None:
        """
        Wait for nothing any more.
        """
        self.changed.clear()
        self._known.clear()
        self._epoll.close()
