"""
C{ockam-twisted completion}: what shells complete.
"""

from __future__ import annotations

from typing import Any

from ockam_twisted.subcommands.base import BaseOptions

#: Which there are.
SHELLS = ("bash", "zsh", "fish")


class Completion(BaseOptions):
    """
    C{ockam-twisted completion}
    """

    argument = "shell"
    asks = "for which shell"
    synopsis = "Usage: ockam-twisted completion bash|zsh|fish"
    longdesc = (
        "Prints what a shell needs to complete this command, and what twist and twistd are given behind the name of "
        "one of its plugins."
    )
    examples = """\
  bash, in ~/.bashrc:
    eval "$(ockam-twisted completion bash)"
  zsh, in a folder of $fpath:
    ockam-twisted completion zsh > ~/.zfunc/_ockam-twisted
  fish:
    ockam-twisted completion fish > ~/.config/fish/completions/ockam-twisted.fish
"""

    def postOptions(self) -> None:
        """
        Check the shell.
        """
        from twisted.python import usage

        if self["shell"] not in SHELLS:
            raise usage.UsageError(f"a shell is one of {', '.join(SHELLS)}, not {self['shell'][:40]!r}")

    def run(self) -> int:
        """
        Print it.
        """
        from ockam_twisted.manuals.outline import plugins, program
        from ockam_twisted.manuals.shells import completion

        whole: type[Any] = type(self.parent)
        print(completion(self["shell"], plugins(), program(whole)), end="", flush=True)
        return 0
