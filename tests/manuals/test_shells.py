"""
Tests of L{ockam_twisted.manuals.shells}: real shells on real terminals complete
what is typed.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.command import Options
from ockam_twisted.manuals.outline import plugins, program
from ockam_twisted.manuals.shells import completion
from tests.scenarios.processes import PATIENCE, require

#: What is typed before the key, and what stands there after it.
TYPED = {
    "ockam-twisted tic": "ockam-twisted ticket",
    "ockam-twisted ticket cr": "ockam-twisted ticket create",
    "ockam-twisted ticket create --us": "ockam-twisted ticket create --uses",
    "ockam-twisted ticket create --command ockam-au": "ockam-twisted ticket create --command ockam-authority",
    "ockam-twisted ticket create --uses 3 --js": "ockam-twisted ticket create --uses 3 --json",
    "ockam-twisted identity backup outl": "ockam-twisted identity backup outlet.backup",
    "ockam-twisted member list --state-dir sta": "ockam-twisted member list --state-dir state/",
    "ockam-twisted completion --he": "ockam-twisted completion --help",
}

#: The same for C{twist}, where we do that.
PLUGINS = {
    "twist ockam-in": "twist ockam-inlet",
    "twist ockam-outlet --tar": "twist ockam-outlet --target",
    "twistd -n ockam-relay --proc": "twistd -n ockam-relay --processes",
    "twist ockam-inlet --passphrase outl": "twist ockam-inlet --passphrase outlet.backup",
}


class Terminal:
    """
    A shell on a terminal of its own.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        environ = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        self.pid, self.descriptor = pty.fork()
        if not self.pid:
            os.chdir(folder)
            os.execvpe(arguments[0], arguments, environ)
        self.said = b""

    def type(self, text: str) -> None:
        """
        Press keys.
        """
        os.write(self.descriptor, text.encode())

    def answer(self, pattern: str) -> str:
        """
        Wait until something is shown.

        @return: The first group of the pattern.
        """
        deadline = time.monotonic() + PATIENCE
        while not (match := re.search(pattern.encode(), self.said)):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r}: {self.said!r}")
            self.said += os.read(self.descriptor, 4096)
        self.said = self.said[match.end() :]
        return match[1].decode()

    def end(self) -> None:
        """
        End it.
        """
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.descriptor)


class ShellsTests(SynchronousTestCase):
    """
    Each shell, with what is written for it.
    """

    def folder(self, shell: str) -> Path:
        """
        A folder with the completion, and something that can be completed.
        """
        folder = Path(self.mktemp()).absolute()
        (folder / "state").mkdir(parents=True)
        (folder / "outlet.backup").touch()
        (folder / "completion").write_text(completion(shell, plugins(), program(Options)))
        return folder

    def check(self, terminal: Terminal, typed: dict[str, str]) -> None:
        """
        Type each; then have what stands there printed, in place of run.
        """
        self.addCleanup(terminal.end)
        for number, (before, after) in enumerate(typed.items()):
            terminal.type(f"{before}\t")
            # Beginning of line, then print what follows.
            terminal.type(f"\x01echo S{number}'>' \x05 '<'E\r")
            shown = terminal.answer(rf"\nS{number}> (.*?) *<E\r")
            # zsh takes the slash behind a folder away again.
            self.assertEqual(shown.rstrip(" /"), after.rstrip("/"))

    def test_bash(self) -> None:
        """
        bash, interactive.
        """
        require("bash")
        folder = self.folder("bash")
        terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], folder)
        terminal.type("bind 'set enable-bracketed-paste off'; source ./completion; echo read''y\r")
        terminal.answer("(ready)")
        self.check(
            terminal,
            {**TYPED, **PLUGINS, "twist ockam-inlet --ticket=outl": "twist ockam-inlet --ticket=outlet.backup"},
        )

    def test_zsh(self) -> None:
        """
        zsh, interactive, by the completion in C{$fpath}.
        """
        require("zsh")
        folder = self.folder("zsh")
        (folder / "functions").mkdir()
        shutil.move(folder / "completion", folder / "functions" / "_ockam-twisted")
        terminal = Terminal(["zsh", "-f", "-i"], folder)
        terminal.type("fpath=($PWD/functions $fpath); autoload -U compinit; compinit -u -D; bindkey -e\r")
        terminal.type("unsetopt zle_bracketed_paste; unset zle_bracketed_paste; PS1='$ '; echo read''y\r")
        terminal.answer("(ready)")
        self.check(terminal, TYPED)

    def test_fish(self) -> None:
        """
        fish, asked for its completions.
        """
        require("fish")
        folder = self.folder("fish")
        for before, after in {**TYPED, **PLUGINS}.items():
            done = subprocess.run(
                ["fish", "--no-config", "-c", "source completion; complete -C $argv[1]", before],
                cwd=folder,
                env={**os.environ, "HOME": str(folder)},
                capture_output=True,
                text=True,
            )
            self.assertEqual(done.stderr, "")
            found = [line.partition("\t")[0] for line in done.stdout.splitlines()]
            self.assertEqual(found, [after.rpartition(" ")[2]], before)
            if after.rpartition(" ")[2].startswith("--"):
                self.assertIn("\t", done.stdout, "no explanation")
