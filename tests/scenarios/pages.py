"""
Pages of the documentation that are done: their commands are typed, as they
stand there, on machines of their own, and must say what the page shows.

A block C{console} is a session on the machine that its caption names: lines
with a prompt are typed, the others must come out of them, in this order, with
other lines in between.  A word that ends in C{…} stands for what really comes;
later commands get that in its place.  Any other block with a path for a caption
is the content of that file there.  What is not done is marked by a comment
C{.. not done: WHY} before it; C{.. stop: MACHINE: COMMAND} is what somebody
does to what keeps running.

Needs root, namespaces and veth devices; is skipped, loudly, without them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from attrs import field, frozen, mutable
from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, children, require

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

#: What keeps running in the foreground; it is left so, and counts as started
#: once it has said what the page shows.
RUNS_ON = ("twist ",)

_numbers = count(1)


@frozen
class Block:
    """
    One block of a page.

    @ivar language: Of the block.
    @ivar caption: Of the block; empty for none.
    @ivar lines: Without indentation.
    @ivar number: The line that it begins in.
    @ivar notDone: Why it is not done; empty: it is.
    """

    language: str
    caption: str
    lines: list[str]
    number: int
    notDone: str = ""

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """
        What is typed, and what comes of it.
        """
        typed, said = "", list[str]()
        isOpen = False
        for line in self.lines:
            if isOpen:
                typed += f"\n{line.removeprefix('> ')}"
            elif line.startswith(("$ ", "# ")):
                if typed:
                    yield typed, said
                typed, said = line[2:], []
            else:
                said.append(line)
                continue
            isOpen = typed.endswith("\\")
        if typed:
            yield typed, said


def blocks(page: Path) -> list[Block]:
    """
    The blocks of a page.
    """
    found: list[Block] = []
    lines = page.read_text("utf-8").splitlines()
    notDone = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        if match := re.fullmatch(r"\.\. not done: (.*)", line):
            notDone = match[1]
        if match := re.fullmatch(r"\.\. stop: (.*): (.*)", line):
            found.append(Block("stop", match[1], [match[2]], index + 1))
        if match := re.fullmatch(r"( *)\.\. code-block:: (\w+)", line):
            indent, begin, caption = len(match[1]) + 4 - 1, index + 1, ""
            body: list[str] = []
            index += 1
            while index < len(lines) and (not lines[index].strip() or lines[index].startswith(" " * indent)):
                text = lines[index][indent:]
                if text.startswith(":caption: ") and not body:
                    caption = text.removeprefix(":caption: ")
                elif body or text.strip():
                    body.append(text)
                index += 1
            while body and not body[-1].strip():
                body.pop()
            found.append(Block(match[2], caption, body, begin, notDone))
            notDone = ""
            continue
        index += 1
    return found


def pattern(line: str) -> tuple[str, list[str]]:
    """
    What matches a line of a page.  A word that ends in C{…} has letters in
    common, up to its first digit, with what it stands for.

    @return: The expression, and the words that its groups are.
    """
    found, words = "", []
    for part in re.split(r"(\w*…)", " ".join(line.split())):
        if part == "…":
            found += ".*"
        elif part.endswith("…"):
            words.append(part)
            found += rf"({re.match(r'[^0-9…]*', part)[0]}\w*)"  # type: ignore[index]
        else:
            found += re.escape(part)
    return found, words


@mutable
class Machine:
    """
    A machine of a page: namespaces, and files of its own.

    @ivar holder: What it ends with.
    @ivar home: The home of its user.
    """

    name: str
    address: str
    home: Path
    holder: subprocess.Popen[bytes] = field(repr=False)

    def enter(self) -> list[str]:
        """
        What is put before a command for it to run here.
        """
        first = str(childOf(self.holder.pid))
        return ["nsenter", "-t", first, "--net", "--mount", "--uts", "--pid", f"--wd={self.home}"]


def childOf(pid: int) -> int:
    """
    The first process that a process has started.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := children(pid)):
        if time.monotonic() > deadline:
            raise AssertionError(f"process {pid} has started none")
        time.sleep(0.01)
    return found[0]


def caught(pid: int) -> int:
    """
    The signals that a process catches, as a mask.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigCgt:")[2].split()[0], 16)


def requireMachines() -> None:
    """
    Skip, loudly, where there can be none.
    """
    require("ip", "unshare", "nsenter", "mount")
    if os.geteuid() != 0:
        raise SkipTest("NOT ROOT: no namespaces, so the commands of the pages cannot be typed as they are")
    name = f"otw-page-{os.getpid()}"
    probe = f"ip link add v0 type veth peer name v1 && ip link add {name} type bridge && mount -t tmpfs none /mnt"
    done = subprocess.run(["unshare", "--net", "--mount", "sh", "-c", probe], capture_output=True, text=True)
    if done.returncode:
        raise SkipTest(f"NO NAMESPACES WITH veth, bridge AND mount HERE: {done.stderr.strip()}")


class PageTestCase(ScenarioTestCase):
    """
    A page is done from top to bottom.
    """

    def setUp(self) -> None:
        """
        No machine yet, only what connects them.
        """
        if not DOCS.exists():
            raise SkipTest("NO DOCUMENTS HERE: they are in the source tree")
        requireMachines()
        super().setUp()
        self.machines: dict[str, Machine] = {}
        self.meanings: dict[str, str] = {}
        self.running: dict[tuple[str, str], Program] = {}
        self.hosts = self.folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.stick = self.folder / "stick"
        self.stick.mkdir()
        self.binaries = self.folder / "bin"
        self.binaries.mkdir()
        for name, module in (
            ("twist", "from twisted.application.twist._twist import Twist; Twist.main()"),
            ("twistd", "from twisted.scripts.twistd import run; run()"),
            ("ockam-twisted", "from ockam_twisted.command import main; sys.exit(main())"),
        ):
            path = self.binaries / name
            # The name it is called by is the one that it shows.
            path.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{module}\n")
            path.chmod(0o755)
        self.hub = self._holder("--net")
        self._in(self.hub, "ip", "link", "add", "hub", "type", "bridge")
        self._in(self.hub, "ip", "link", "set", "hub", "up")

    def _holder(self, *kinds: str) -> subprocess.Popen[bytes]:
        holder = subprocess.Popen(
            ["unshare", *kinds, "sh", "-c", "echo here; exec sleep infinity"], stdout=subprocess.PIPE
        )
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        assert holder.stdout is not None
        self.addCleanup(holder.stdout.close)
        self.assertEqual(holder.stdout.readline(), b"here\n")
        return holder

    def _in(self, holder: subprocess.Popen[bytes], *command: str) -> None:
        done = subprocess.run(["nsenter", "-t", str(holder.pid), "--net", *command], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")

    def machine(self, name: str) -> Machine:
        """
        A machine, by the caption of its blocks; made when first asked for.
        What its caption calls C{something.example.com} is its name for all.
        """
        if name in self.machines:
            return self.machines[name]
        number = next(_numbers)
        place = self.folder / f"machine-{len(self.machines) + 1}"
        (home := place / "home").mkdir(parents=True)
        for each in ("etc", "work", "lib", "run"):
            (place / each).mkdir()
        holder = self._holder(
            "--net", "--mount", "--uts", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"
        )
        machine = Machine(name, f"10.88.0.{len(self.machines) + 1}", home, holder)
        here, there = f"p{number}a", f"p{number}b"
        self._in(self.hub, "ip", "link", "add", here, "type", "veth", "peer", "name", there)
        self._in(self.hub, "ip", "link", "set", here, "master", "hub", "up")
        self._in(self.hub, "ip", "link", "set", there, "netns", str(holder.pid))
        self._in(holder, "ip", "link", "set", "lo", "up")
        self._in(holder, "ip", "address", "add", f"{machine.address}/24", "dev", there)
        self._in(holder, "ip", "link", "set", there, "up")
        if match := re.search(r"[a-z0-9-]+\.example\.com", name):
            with self.hosts.open("a") as file:
                file.write(f"{machine.address} {match[0]}\n")
        setUp = (
            f"mount -t overlay overlay -o lowerdir=/etc,upperdir={place}/etc,workdir={place}/work /etc\n"
            f"sed -i 's#^root:.*#root:x:0:0:root:{home}:/bin/bash#' /etc/passwd\n"
            f"cp {self.hosts} /etc/hosts\nmount --bind {place}/lib /var/lib\nmount --bind {place}/run /run\n"
            f"mkdir /run/sshd /run/postgresql\n"
            f"mount -t tmpfs none /media\nmkdir /media/stick\nmount --bind {self.stick} /media/stick\n"
        )
        self._in(holder, "nsenter", "-t", str(holder.pid), "--mount", "sh", "-ec", setUp)
        self.machines[name] = machine
        return machine

    def command(self, machine: Machine, text: str) -> list[str]:
        """
        What runs a line of shell on a machine.
        """
        environ = [
            f"HOME={machine.home}",
            f"PATH={self.binaries}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "LC_ALL=C.UTF-8",
        ]
        # Ctrl-C does what it does at a terminal, also where the tests run in the background.
        return [*machine.enter(), "env", "--default-signal=INT", "-u", "PYTHONPATH", *environ, "bash", "-c", text]

    def on(self, name: str, text: str) -> Program:
        """
        Start something on a machine that the page takes for granted.
        """
        return self.start(*self.command(self.machine(name), text))

    def do(self, page: str) -> None:
        """
        Do a page.

        @param page: Its path below C{docs}.
        """
        done = 0
        for block in blocks(DOCS / page):
            where = f"{page}:{block.number}"
            if block.notDone:
                continue
            if block.language == "stop":
                self.interrupt(self.running[(block.caption, block.lines[0])])
            elif block.language == "console":
                self.assertTrue(block.caption, f"{where}: on which machine?")
                for typed, said in block.commands():
                    self.type(where, block.caption, typed, said)
                    done += 1
            elif re.search(": [~/]", block.caption):
                name, _, path = block.caption.rpartition(": ")
                self.write(self.machine(name), path, "\n".join(block.lines) + "\n")
        self.assertGreater(done, 2, f"{page}: hardly anything was done")

    def write(self, machine: Machine, path: str, text: str) -> None:
        """
        Write a file on a machine.
        """
        script = f"mkdir -p $(dirname {path}) && cat > {path}"
        subprocess.run(self.command(machine, script), input=self.meant("", text), text=True, check=True)

    def meant(self, where: str, text: str) -> str:
        """
        A text, with what its words that end in C{…} stand for.

        @param where: Of the text, where all of them must be known.
        """

        def meaning(match: re.Match[str]) -> str:
            known = [each for each in self.meanings if match[0].endswith(each)]
            if known:
                word = max(known, key=len)
                return match[0].removesuffix(word) + self.meanings[word]
            if where:
                self.fail(f"{where}: nothing before has shown what {match[0]} stands for")
            return match[0]

        return re.sub(r"\w+…", meaning, text)

    def type(self, where: str, name: str, typed: str, said: list[str]) -> None:
        """
        Type one command on a machine.
        """
        machine = self.machine(name)
        text = self.meant(where, typed)
        if runsOn := text.startswith(RUNS_ON):
            text = f"exec {text}"
        program = self.running[(name, typed.split()[1])] = self.start(*self.command(machine, text))
        interrupt = "^C" in said
        said = [line for line in said if line.strip() and line != "^C"]
        if not runsOn:
            try:
                program.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.fail(f"{where}: $ {typed}\ndoes not end:\n{program.text()[-3000:]}")
            self.assertEqual(program.process.returncode, 0, f"{where}: $ {typed}\n{program.text()[-3000:]}")
        deadline = time.monotonic() + PATIENCE
        while (missing := self.compare(said, program.text())) is not None:
            ended = program.process.poll() is not None
            if time.monotonic() > deadline or ended:
                if self.compare(said, program.text()) is None:
                    break
                self.fail(f"{where}: $ {typed}\ndoes not say {missing!r}, but:\n{program.text()[-3000:]}")
            time.sleep(0.02)
        if interrupt:
            self.interrupt(program)

    def interrupt(self, program: Program) -> None:
        """
        Press Ctrl-C, once the reactor runs: it catches SIGTERM, too, then.
        """
        pid, deadline = childOf(program.pid), time.monotonic() + PATIENCE
        while not caught(pid) >> (signal.SIGTERM - 1) & 1:
            self.assertLess(time.monotonic(), deadline, program.text())
            time.sleep(0.02)
        os.kill(pid, signal.SIGINT)
        program.process.wait(PATIENCE)

    def compare(self, said: list[str], text: str) -> str | None:
        """
        @return: The first line of a page that is not in what was printed;
            L{None}: all are.
        """
        lines = iter(text.splitlines())
        for line in said:
            expression, words = pattern(self.meant("", line))
            for each in lines:
                if match := re.fullmatch(expression, " ".join(each.split())):
                    self.meanings |= zip(words, match.groups(), strict=True)
                    break
            else:
                return line
        return None
