"""
C{ockam-twisted config}: files for C{twist ockam-node}.
"""

from __future__ import annotations

import json
import sys

from ockam_twisted.subcommands.base import BaseOptions, Group


class Check(BaseOptions):
    """
    C{ockam-twisted config check}
    """

    argument = "file"
    asks = "which file"
    synopsis = "Usage: ockam-twisted config check FILE"
    longdesc = (
        "Reads a file as `twist ockam-node --config` does, and says all that is wrong with it, a line each: where it "
        "is, what is there, and what may be. Nothing is started; the exit status is 1 if something is wrong."
    )
    examples = "  ockam-twisted config check node.yaml\n"

    def run(self) -> int:
        """
        Check it.
        """
        from twisted.internet import reactor

        from ockam_twisted.configuration.load import Refused, check

        try:
            config = check(self["file"], reactor)
        except Refused as error:
            for line in error.lines:
                print(line, file=sys.stderr)
            return 1
        parts = (
            ("listener", config.listeners),
            ("outlet", config.outlets),
            ("inlet", config.inlets),
            ("registration", config.registrations),
        )
        counted = [f"{len(its)} {name}{'s' if len(its) > 1 else ''}" for name, its in parts if its]
        if config.relayService is not None:
            counted.append("a relay")
        if config.authorityService is not None:
            counted.append("an authority")
        print(f"{self['file']}: all right: {', '.join(counted)}")
        return 0


class Example(BaseOptions):
    """
    C{ockam-twisted config example}
    """

    synopsis = "Usage: ockam-twisted config example > node.yaml"
    longdesc = "Writes a file to begin with: every key there is, and what it is for."
    examples = "  ockam-twisted config example > node.yaml\n"

    def run(self) -> int:
        """
        Write it.
        """
        from ockam_twisted.configuration.example import example

        print(example(), end="")
        return 0


class Schema(BaseOptions):
    """
    C{ockam-twisted config schema}
    """

    synopsis = "Usage: ockam-twisted config schema > ockam-node.schema.json"
    longdesc = (
        "Writes the JSON Schema of these files. An editor that is told of it completes keys, shows what they are for, "
        "and underlines what is wrong."
    )
    examples = """\
  ockam-twisted config schema > ockam-node.schema.json
  At the top of a file, for editors with the YAML language server:
    # yaml-language-server: $schema=ockam-node.schema.json
"""

    def run(self) -> int:
        """
        Write it.
        """
        from ockam_twisted.configuration.schema import schema

        print(json.dumps(schema(), indent=2))
        return 0


class Config(Group):
    """
    C{ockam-twisted config}
    """

    synopsis = "Usage: ockam-twisted config <command>"
    longdesc = "Files for `twist ockam-node --config FILE`: one process with any number of outlets, inlets and relays."
    examples = "  ockam-twisted config example > node.yaml\n"
    subCommands = [
        ["check", None, Check, "Say what is wrong with a file"],
        ["example", None, Example, "Write a file to begin with"],
        ["schema", None, Schema, "Write what editors are told of these files"],
    ]
