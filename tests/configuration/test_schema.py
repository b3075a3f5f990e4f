"""
Tests of L{ockam_twisted.configuration.schema}, with another implementation of
JSON Schema as the judge.
"""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.configuration.declared import paths
from ockam_twisted.configuration.example import example
from ockam_twisted.configuration.schema import schema
from ockam_twisted.configuration.settings import NodeSettings
from tests.configuration.bad import BAD


def value(text: str) -> Any:
    """
    What is in a file.
    """
    return YAML(typ="safe", pure=True).load(text)


class SchemaTests(SynchronousTestCase):
    """
    See the module.
    """

    def setUp(self) -> None:
        """
        What editors get.
        """
        self.schema = json.loads(json.dumps(schema(), allow_nan=False))
        Draft202012Validator.check_schema(self.schema)
        self.judge = Draft202012Validator(self.schema)

    def test_example(self) -> None:
        """
        The example is right.
        """
        self.assertEqual([each.message for each in self.judge.iter_errors(value(example()))], [])

    def test_forms(self) -> None:
        """
        Settings may be written in each of the ways that a node takes.
        """
        for text in (
            "relay:\nauthority-service:\n",
            "listen: 4000\nallow: dba\n",
            "listen: [4000, 'tcp:1']\nauthorized: I00\n",
            "tickets: {expires: 10m}\ncredential-lifetime: 60\ndrain-timeout: 0.5\n",
            "inlets: [{listen: 1, ticket: 'file:t', name: a}, {listen: 2, ticket: '@t', name: b}]\n",
        ):
            self.assertEqual([each.message for each in self.judge.iter_errors(value(text))], [], text)

    def test_bad(self) -> None:
        """
        Whatever is wrong with the shape of a file, an editor underlines: keys
        that there are not, what is missing, wrong kinds, and numbers out of
        bounds.
        """
        says = (
            "there is no key", " is missing", " is a list: ", " is a group of keys", "true or false",
            "a number from", "a whole number from", "never the secret itself", "not nothing", "not a flag",
            "not a list or a group", "is a name of letters",
        )  # fmt: skip
        missed, count = [], 0
        for name, text, said in BAD:
            if any(part in line and "as in" not in line for part in says for line in said):
                count += 1
                # Nothing is no number to JSON, so it has no word for that.
                if ".nan" not in text and self.judge.is_valid(value(text)):
                    missed.append(name)
        self.assertEqual(missed, [])
        self.assertGreater(count, 30)

    def test_everything(self) -> None:
        """
        Each setting is in it, with what it is for.
        """
        for path, declared in paths(NodeSettings):
            at = self.schema
            for key in path.split("."):
                at = at.get("items", at)["properties"][key]
            self.assertTrue(at["description"].startswith(declared.setting.help), path)
