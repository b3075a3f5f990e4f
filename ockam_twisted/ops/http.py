"""
What a node shows over HTTP: C{/health}, C{/ready}, C{/metrics}, C{/status} and
a page for people (C{docs/observability.rst}).

It only shows.  Nothing secret is shown; a page of somebody else in a browser
cannot read it, because the name it was asked by is checked.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable
from importlib import resources
from io import BytesIO
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, globalLogPublisher
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from ockam_twisted.errors import StateUnusable
from ockam_twisted.ops.counts import EventCounts
from ockam_twisted.ops.lag import LoopLag
from ockam_twisted.ops.readiness import Readiness, readiness

#: Connections at once, and seconds that one may be idle.
MAX_CONNECTIONS = 64
IDLE = 30

#: Nobody has more to say than a request; bytes of a body that are let pass.
MAX_BODY = 16 * 1024

_PAGE = {
    b"": ("index.html", "text/html; charset=utf-8"),
    b"status.js": ("status.js", "text/javascript; charset=utf-8"),
    b"picture.js": ("picture.js", "text/javascript; charset=utf-8"),
    b"words.js": ("words.js", "text/javascript; charset=utf-8"),
    b"status.css": ("status.css", "text/css; charset=utf-8"),
    b"mark.svg": ("mark.svg", "image/svg+xml"),
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "ockam_twisted",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def isOurs(host: str, isOpen: bool) -> bool:
    """
    Is this a name that we are asked by, and no name that somebody else makes
    lead here?  (DNS rebinding.)

    @param host: The header C{Host}.
    @param isOpen: Do we listen elsewhere than on this machine?
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return isOpen and name == socket.gethostname().lower()
    return isOpen or address.is_loopback


class _Shown(Resource):
    """
    Something that can be looked at.  There is nothing below it.
    """

    def __init__(self, show: Callable[[Request], tuple[int, str, bytes]]) -> None:
        """
        @param show: Makes the status, the type and the body.
        """
        super().__init__()
        self._show = show

    def getChild(self, path: bytes, request: Request) -> Resource:
        """
        There is nothing.
        """
        return _NOTHING

    def render_GET(self, request: Request) -> bytes:
        """
        Show it.  (C{HEAD} comes here, too.)
        """
        code, kind, body = self._show(request)
        request.setResponseCode(code)
        request.setHeader("Content-Type", kind)
        return body


_NOTHING = _Shown(lambda request: (404, "text/plain; charset=utf-8", b"there is nothing here\n"))


class _Root(Resource):
    """
    Everything that there is.
    """

    def __init__(self, isOpen: bool) -> None:
        super().__init__()
        self._isOpen = isOpen

    def getChild(self, path: bytes, request: Request) -> Resource:
        """
        There is nothing else.
        """
        return _NOTHING

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """
        Look who asks, before anything else.
        """
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        host = request.getHeader("host") or ""
        if not isOurs(host, self._isOpen):
            text = b"this node is not called that: ask by its address, or as localhost\n"
            return _Shown(lambda request: (421, "text/plain; charset=utf-8", text))
        return super().getChildWithDefault(path, request)


class _Request(Request):
    """
    What comes with it is not kept: there is nothing that would be read.
    """

    _passed = 0

    def gotLength(self, length: int | None) -> None:
        """
        See C{Request}, which would make a file for what is long.
        """
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """
        Forget it; whoever goes on and on is cut off.
        """
        self._passed += len(data)
        if self._passed > MAX_BODY:
            self.channel.transport.abortConnection()  # type: ignore[union-attr]


class _Site(Site):
    """
    Without a log of its own: scrapers come every few seconds.
    """

    noisy = False
    requestFactory = _Request

    def log(self, request: Any) -> None:
        """
        Nothing is said of requests.
        """


class _Limited(WrappingFactory):
    """
    There are not many connections.
    """

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        """
        Refuse the one that is too many.
        """
        return None if len(self.protocols) >= MAX_CONNECTIONS else super().buildProtocol(addr)


class HTTPService(Service):
    """
    Shows a node.

    @ivar port: Where it listens, once it does.
    """

    _log = Logger()
    port: Any = None
    _binding: Deferred[Any] | None = None

    def __init__(
        self,
        endpoint: Any,
        where: str,
        picture: Callable[[], Any],
        clock: Any,
        life: Callable[[], str],
        isOpen: bool = False,
    ) -> None:
        """
        @param endpoint: Where to listen.
        @param where: The same, for people.
        @param picture: Makes the L{ockam_twisted.ops.status.NodeStatus}.
        @param clock: The reactor.
        @param life: Says whether the node is C{starting}, C{running} or
            C{stopping}.
        @param isOpen: Does it listen elsewhere than on this machine?
        """
        self.events = EventCounts()
        self.lag = LoopLag(clock)
        self._endpoint = endpoint
        self._where = where
        self._life = life
        self._isOpen = isOpen
        self._picture = picture
        self._metrics: Any = None
        self._site = _Site(self._resources(isOpen), reactor=clock, timeout=IDLE)

    def _resources(self, isOpen: bool) -> Resource:
        root = _Root(isOpen)
        for name, show in (
            ("health", self._health),
            ("ready", self._ready),
            ("metrics", self._showMetrics),
            ("status", self._status),
        ):
            root.putChild(name.encode(), _Shown(show))
        for path, (name, kind) in _PAGE.items():
            root.putChild(path, _Shown(self._file(name, kind)))
        return root

    # ----------------------------------------------------------------- shown

    def ready(self) -> Readiness:
        """
        Is everything up that should be?
        """
        return readiness(self._picture(), self._life())

    def _health(self, request: Request) -> tuple[int, str, bytes]:
        # That this is answered says that the reactor turns.
        return 200, "text/plain; charset=utf-8", f"{self._life()}\n".encode()

    def _ready(self, request: Request) -> tuple[int, str, bytes]:
        ready = self.ready()
        code = 200 if ready.isReady else 503
        if "application/json" in (request.getHeader("accept") or ""):
            return code, "application/json", json.dumps(ready.asJSON()).encode()
        text = "ready\n" if ready.isReady else "".join(f"{reason}\n" for reason in ("not ready:", *ready.reasons))
        return code, "text/plain; charset=utf-8", text.encode("utf-8", "backslashreplace")

    def _status(self, request: Request) -> tuple[int, str, bytes]:
        shown = self._picture().asJSON() | {
            **self.ready().asJSON(),
            "lag": {"last": self.lag.last, "most": self.lag.most},
            "events": dict(self.events.counts),
        }
        return 200, "application/json", json.dumps(shown).encode()

    def _showMetrics(self, request: Request) -> tuple[int, str, bytes]:
        if self._metrics is None:
            try:
                from ockam_twisted.ops.metrics import Metrics, NodeCollector
            except ImportError:
                text = b"metrics need the package prometheus-client: pip install 'ockam_twisted[metrics]'\n"
                return 501, "text/plain; charset=utf-8", text
            self._metrics = Metrics(NodeCollector(self._picture, self.ready, self.events.counts, self.lag))
        body, kind = self._metrics.encoded(request.getHeader("accept") or "")
        return 200, kind, body

    def _file(self, name: str, kind: str) -> Callable[[Request], tuple[int, str, bytes]]:
        def show(request: Request) -> tuple[int, str, bytes]:
            return 200, kind, resources.files("ockam_twisted.ops").joinpath("page", name).read_bytes()

        return show

    # ------------------------------------------------------------- lifetime

    def _listen(self) -> None:
        if self._binding is not None:
            return

        def listening(port: Any) -> None:
            self.port = port

        self._binding = binding = maybeDeferred(self._endpoint.listen, _Limited(self._site)).addCallback(listening)
        if isinstance(failure := binding.result if binding.called else None, Failure):
            binding.addErrback(lambda _: None)
            error = getattr(failure.value, "socketError", failure.value)
            why = getattr(error, "strerror", None) or error
            raise StateUnusable(f"--http: cannot listen on {self._where}: {why}")

    def privilegedStartService(self) -> None:
        """
        Bind, while this process may.

        @raise StateUnusable: It cannot be had.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """
        Show, count and look from now on.

        @raise StateUnusable: The port cannot be had.
        """
        super().startService()
        self._listen()
        globalLogPublisher.addObserver(self.events)
        self.lag.startService()
        if self._isOpen:
            self._log.warn(
                "--http: how this node is can be seen by whoever reaches {where}", where=self._where, event="http-open"
            )

    def stopService(self) -> Deferred[None]:
        """
        Show nothing any more.
        """
        if self.running:
            globalLogPublisher.removeObserver(self.events)
            self.lag.stopService()
        super().stopService()
        port, self.port = self.port, None
        return maybeDeferred(lambda: None if port is None else port.stopListening())
