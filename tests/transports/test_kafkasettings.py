"""
Tests for L{ockam_twisted.transports.kafkasettings}.
"""

from __future__ import annotations

import os
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.kafka import KafkaEndpoint
from ockam_twisted.transports.kafkasettings import COMMON, READING, VARIABLE, WRITING, reason, settings


class SettingsTests(SynchronousTestCase):
    """
    Tests for what an operator may say.
    """

    def say(self, text: str) -> None:
        """
        Write a file, and name it.
        """
        path = Path(self.mktemp())
        path.write_text(text)
        self.patch(os, "environ", {**os.environ, VARIABLE: str(path)})

    def test_none(self) -> None:
        """
        Nothing has to be said.
        """
        self.patch(os, "environ", {})
        self.assertEqual(settings(), {})

    def test_some(self) -> None:
        """
        How to reach a broker.
        """
        self.say("# who we are\nsasl.username = alice\n\nsasl.password=a=b\nssl.ca.location=/etc/ca.pem\n")
        self.assertEqual(
            settings(), {"sasl.username": "alice", "sasl.password": "a=b", "ssl.ca.location": "/etc/ca.pem"}
        )

    def test_impossible(self) -> None:
        """
        What a stream relies on is not for him to say; a secret is in no message.
        """
        for text, word in (
            ("acks=0\n", "'acks'"),
            ("\nsasl.password hidden\n", "line 2"),
            ("group.id=x\n", "group.id"),
        ):
            self.say(text)
            error = self.assertRaises(ValueError, settings)
            self.assertIn(word, str(error))
            self.assertNotIn("hidden", str(error))
            self.assertRaises(ValueError, KafkaEndpoint, None, "b", 9092, "blue")
        self.patch(os, "environ", {VARIABLE: "/nowhere/at/all"})
        self.assertIn("/nowhere/at/all", str(self.assertRaises(ValueError, settings)))

    def test_known(self) -> None:
        """
        The library knows all that we set.
        """
        Producer({**COMMON, **WRITING})
        Consumer({**COMMON, **READING, "group.id": "x"}).close()

    def test_reason(self) -> None:
        """
        What an error says, without what is around it.
        """
        self.assertEqual(reason(ValueError("so it is")), "so it is")
        self.assertIn("timed out", reason(KafkaException(KafkaError(KafkaError._TIMED_OUT))).lower())
