"""
Tests of L{ockam_twisted.tap.authority}.
"""

from __future__ import annotations

from pathlib import Path

from ockam_twisted.config import AuthorityServiceConfig, TicketsConfig
from ockam_twisted.tap import authority
from tests.tap.common import OTHER, WHO, OptionsTestCase


class OptionsTests(OptionsTestCase):
    """
    C{twist ockam-authority}.
    """

    module = authority

    def test_default(self) -> None:
        """
        Without options it has no members, and makes tickets when asked.
        """
        config = self.parse()
        self.assertEqual((config.command, config.listeners), ("ockam-authority", ("tcp:4100",)))
        self.assertEqual(config.authorityService, AuthorityServiceConfig())
        self.assertEqual(config.tickets, TicketsConfig())
        self.assertTrue(config.trust.everyone)
        self.assertEqual(config.credentialLifetime, 600)

    def test_members(self) -> None:
        """
        Members come from a file, enrollers from options.
        """
        place = Path(self.mktemp())
        place.write_text(f'{{"{WHO}": {{"team": "web"}}}}')
        service = self.parse("--members", str(place), "--enroller", OTHER).authorityService
        assert service is not None
        self.assertEqual(service.members, ((OTHER, (("ockam-role", "enroller"),)), (WHO, (("team", "web"),))))
        for text, says in (("[1]", "no JSON object"), ("{", "no JSON object"), ('{"I1": {}}', "identifier")):
            place.write_text(text)
            self.refused(says, "--members", str(place))
        self.refused("cannot read", "--members", "/nowhere")

    def test_common(self) -> None:
        """
        What all plugins have: help, version, state and limits.
        """
        self.checkHelp()
        self.checkVersion()
        self.checkState()
        self.checkFrame()
