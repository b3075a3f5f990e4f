"""
What was typed wrong, in one line that says what to type instead.
"""

from __future__ import annotations

import getopt
from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.python import usage


class HelpfulOptions(usage.Options):
    """
    Options that know what was meant.

    @cvar argument: What stands behind the options, as it is called here;
        empty: nothing does.
    @cvar asks: What is asked for where that is missing, as in "say WHICH FILE".
    @cvar isNeeded: Must it be there?
    @cvar elsewhere: Options that others have, each with why it is not here.
    """

    argument = ""
    asks = ""
    isNeeded = True
    elsewhere: ClassVar[dict[str, str]] = {}

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read a command line.

        @param options: The words of it; L{None}: of this process.
        @raise usage.UsageError: What is wrong with it, in one line.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise usage.UsageError(self._better(error)) from None

    def parseArgs(self, *given: str) -> None:
        """
        Keep what stands behind the options.

        @raise usage.UsageError: It is too much, or missing.
        """
        wanted = 1 if self.argument else 0
        if len(given) < wanted and self.isNeeded:
            synopsis = str(getattr(self, "synopsis", "")).removeprefix("Usage: ")
            raise usage.UsageError(f"say {self.asks}: {synopsis}")
        if len(given) > wanted:
            raise usage.UsageError(self._surplus(given[wanted]))
        if given:
            self[self.argument] = given[0]

    def meant(self, argument: str) -> str:
        """
        @return: The option that has been forgotten in front of an argument, if
            that is likely.
        """
        return ""

    def whereHelpIs(self) -> str:
        """
        @return: How an error ends that nothing better is known of.
        """
        return ""

    def _names(self) -> list[str]:
        return [each.removesuffix("=") for each in self.longOpt]

    def _surplus(self, argument: str) -> str:
        from ockam_twisted.configuration.forms import shown

        text = f"{shown(argument)} belongs to no option"
        if argument in self._names():
            return f"{text}; did you mean --{argument}?"
        meant = "" if self.argument else self.meant(argument)
        return f"{text}; did you mean --{meant} {shown(argument)[1:-1]}?" if meant else text + self.whereHelpIs()

    def _better(self, error: usage.UsageError) -> str:
        """
        An error, with what was meant.
        """
        from ockam_twisted.configuration.forms import nearest, shown

        text, cause = str(error), error.__context__
        tasks: Any = getattr(self, "subCommands", None)
        if tasks and self.subCommand is None and text.startswith("Unknown command: "):
            word = text.removeprefix("Unknown command: ")
            near = nearest(word, [each[0] for each in tasks])
            return f"there is no command {shown(word)}{near or self.whereHelpIs()}"
        if not isinstance(cause, getopt.GetoptError):
            return text
        if f"--{cause.opt}" not in cause.msg:
            isThere = cause.opt in self.shortOpt
            return (text if isThere else f"there is no option -{shown(cause.opt)[1:-1]}") + self.whereHelpIs()
        if any(each.startswith(cause.opt) for each in self._names()):
            # It is there, but needs a value, takes none, or is one of several.
            return text + self.whereHelpIs()
        if cause.opt in self.elsewhere:
            return f"there is no option --{cause.opt}: {self.elsewhere[cause.opt]}"
        near = nearest(cause.opt, self._names(), "--")
        return f"there is no option --{shown(cause.opt)[1:-1]}{near or self.whereHelpIs()}"
