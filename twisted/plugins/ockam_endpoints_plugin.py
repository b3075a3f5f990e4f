"""
The endpoint strings that begin with C{ockam:}.

Every Twisted program in an environment that has this package may import this
module when it parses an endpoint string: the code behind it is imported only
when the string is one of ours.
"""

from typing import Any

from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _OckamServerParser:
    """
    C{ockam:...} for those who listen: an outlet that hands its streams to a
    factory.
    """

    prefix = "ockam"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamServerEndpoint:
        """
        See L{ockam_twisted.endpoints.parseServer}.
        """
        from ockam_twisted.endpoints import parseServer

        return parseServer(reactor, *args, **kwargs)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _OckamClientParser:
    """
    C{ockam:...} for those who connect: an inlet without a local port.
    """

    prefix = "ockam"

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> IStreamClientEndpoint:
        """
        See L{ockam_twisted.endpoints.parseClient}.
        """
        from ockam_twisted.endpoints import parseClient

        return parseClient(reactor, *args, **kwargs)


ockamServerParser = _OckamServerParser()
ockamClientParser = _OckamClientParser()
