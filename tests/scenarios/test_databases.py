"""
Database clients through a portal: each does what it does directly, with the
same words and the same status, also when something ends in the middle.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.processes import PATIENCE, ScenarioTestCase, freePort, require

#: Where Debian has the programs that are not for everybody.
POSTGRESQL = "/usr/lib/postgresql"

ROWS = 300_000


def postgresql() -> None:
    """
    Put the programs of the newest PostgreSQL on the path.
    """
    folders = sorted(Path(POSTGRESQL).glob("*/bin"), key=lambda path: [len(path.parts[-2]), path.parts[-2]])
    if folders and str(folders[-1]) not in os.environ["PATH"].split(":"):
        os.environ["PATH"] += f":{folders[-1]}"


class PostgreSQLTests(ScenarioTestCase):
    """
    A private PostgreSQL.
    """

    def setUp(self) -> None:
        """
        Start it, and the portal.
        """
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        postgresql()
        require("psql", "initdb", "postgres", "pgbench", "pg_dump")
        super().setUp()
        # It refuses to run as root.
        self.owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        if os.getuid():
            self.owner = []
        else:
            require("setpriv")
            os.chmod(self.folder, 0o755)
        self.data = data = self.folder / "data"
        data.mkdir(mode=0o700)
        if self.owner:
            shutil.chown(data, "postgres")
        self._call(*self.owner, "initdb", "-D", str(data), "-A", "trust", "-U", "me", "--no-sync", "--locale=C")
        self.direct = at = freePort()
        self.database = self.start(
            *self.owner, "postgres", "-D", str(data), "-p", str(at), "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={data}", "-c", "fsync=off",
        )  # fmt: skip
        # Asked for a fast end: the one that is usual waits for its clients.
        self.addCleanup(self._stop, signal.SIGINT)
        self._waitForServer()
        self.port, *_ = self.portal(at)

    def _stop(self, number: int) -> None:
        """
        End the server, whose first process need not be the one we started.
        """
        pid = self.data / "postmaster.pid"
        if pid.exists():
            os.kill(int(pid.read_text().split()[0]), number)
            self.database.process.wait(PATIENCE)

    def _call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PGCONNECT_TIMEOUT": "20", "PGGSSENCMODE": "disable", "LC_ALL": "C"}
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
        )
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def _psql(self, port: int, *commands: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        options = [option for command in commands for option in ("-c", command)]
        return self._call(*self._client(port), *options, check=check)

    def _client(self, port: int) -> list[str]:
        return ["psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "me", "-d", "postgres"]

    def _waitForServer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._psql(self.direct, "select 1", check=False).returncode:
            self.assertLess(time.monotonic(), deadline, self.database.text())
            time.sleep(0.1)

    def _same(self, results: list[subprocess.CompletedProcess[str]], status: int, *words: str) -> None:
        """
        Directly and through the portal it ended alike.
        """
        direct, through = ((done.returncode, done.stdout, done.stderr.replace(str(port), "PORT"))
                           for done, port in zip(results, (self.direct, self.port), strict=True))  # fmt: skip
        self.assertEqual(direct, through)
        self.assertEqual(through[0], status)
        for each in words:
            self.assertIn(each, through[2])

    def test_copy(self) -> None:
        """
        C{COPY} in and out of a large table, C{pg_dump}, and C{pgbench} with
        many clients.
        """
        rows = self.folder / "rows"
        with rows.open("w") as file:
            for number in range(ROWS):
                file.write(f"{number}\t{number * 7919 % 1000003:x} and some more that makes it longer {number}\n")
        dumps = []
        for port in (self.direct, self.port):
            table, out = f"t{port}", self.folder / f"out-{port}"
            self._psql(port, f"create table {table} (number int, text text)", f"\\copy {table} from {rows}")
            self._psql(port, f"\\copy (select * from {table} order by number) to {out}")
            self.assertEqual(out.read_bytes(), rows.read_bytes())
            dump = self._call("pg_dump", "-h", "127.0.0.1", "-p", str(port), "-U", "me", "-t", table, "postgres")
            lines = dump.stdout.replace(table, "TABLE").splitlines()
            # Each dump has a key of its own.
            dumps.append([line for line in lines if not line.startswith(("\\restrict", "\\unrestrict"))])
        self.assertTrue(dumps[0] == dumps[1])
        self._call("pgbench", "-q", "-i", "-h", "127.0.0.1", "-p", str(self.port), "-U", "me", "postgres")
        bench = self._call(
            "pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "me", "-c", "10", "-t", "50", "-C", "postgres"
        )
        self.assertIn("number of transactions actually processed: 500/500", bench.stdout)

    def test_errors(self) -> None:
        """
        A C{COPY} that fails in the middle, one that the server ends, a
        database that there is not, and a statement that is wrong.
        """
        rows = self.folder / "rows"
        rows.write_text("".join(f"{number}\n" for number in range(200_000)) + "no number\n")
        ports = self.direct, self.port
        self._psql(self.direct, "create table numbers (number int)")
        self._same([self._psql(port, f"\\copy numbers from {rows}", check=False) for port in ports], 1, "no number")
        self.assertEqual(self._psql(self.port, "select count(*) from numbers").stdout, "0\n")
        self._same([self._psql(port, "select 1/0", check=False) for port in ports], 1, "division by zero")
        ends = "select pg_terminate_backend(pg_backend_pid())"
        self._same([self._psql(port, ends, check=False) for port in ports], 2, "terminating connection")
        self._same([self._call(*self._client(port), "-d", "nowhere", check=False) for port in ports], 2, "nowhere")

    def _during(
        self, does: Callable[[int, subprocess.Popen[str]], object], statement: str = "select pg_sleep(60)"
    ) -> list[subprocess.CompletedProcess[str]]:
        """
        Directly and through the portal: begin a long statement, and do
        something.
        """
        results = []
        for port in (self.direct, self.port):
            psql = subprocess.Popen(
                [*self._client(port), "-c", statement], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            self.addCleanup(psql.kill)
            self._waitForSessions(1)
            does(port, psql)
            out, errors = psql.communicate(timeout=PATIENCE)
            results.append(subprocess.CompletedProcess([], psql.returncode, out, errors))
        return results

    def _waitForSessions(self, number: int) -> None:
        """
        Wait until there are so many, besides that which asks.
        """
        asks = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()"
        deadline = time.monotonic() + PATIENCE
        while self._psql(self.direct, asks).stdout.strip() != str(number):
            self.assertLess(time.monotonic(), deadline, f"there are not {number} sessions")
            time.sleep(0.05)

    def test_cancelled(self) -> None:
        """
        A statement is cancelled by its client, over a connection of its own.
        """
        results = self._during(lambda port, psql: psql.send_signal(signal.SIGINT))
        self._same(results, 1, "canceling statement due to user request")

    def test_dropped(self) -> None:
        """
        A connection is dropped by the server in the middle of a statement.
        """
        ends = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%sleep(60)%'"
        ends += " and pid <> pg_backend_pid()"
        results = self._during(lambda port, psql: self._psql(self.direct, ends))
        self._same(results, 2, "terminating connection due to administrator command")

    def test_clientKilled(self) -> None:
        """
        A client is killed in the middle of what it is sent: its session ends
        at the server, as soon as it would directly.
        """
        rows = "copy (select repeat('x', 1000) from generate_series(1, 100000000)) to stdout"
        for port in (self.direct, self.port):
            # Nobody reads what psql writes: all windows are full.
            psql = subprocess.Popen([*self._client(port), "-c", rows], stdout=subprocess.PIPE)
            assert psql.stdout is not None
            self.addCleanup(psql.stdout.close)
            self.addCleanup(psql.kill)
            self._waitForSessions(1)
            time.sleep(1)
            psql.kill()
            psql.wait(PATIENCE)
            self._waitForSessions(0)

    def test_serverKilled(self) -> None:
        """
        A server that ends at once takes its clients with it.
        """
        statement = "select pg_sleep(60)"
        clients = [
            subprocess.Popen([*self._client(port), "-c", statement], stderr=subprocess.PIPE, text=True)
            for port in (self.direct, self.port)
        ]
        self._waitForSessions(2)
        self._stop(signal.SIGQUIT)
        self._same(
            [
                subprocess.CompletedProcess([], client.returncode, out, errors)
                for client in clients
                for out, errors in [client.communicate(timeout=PATIENCE)]
            ],
            2,
            "terminating connection",
        )


class RedisTests(ScenarioTestCase):
    """
    A private redis.
    """

    def setUp(self) -> None:
        """
        Start it, and the portal.
        """
        require("redis-server", "redis-cli")
        super().setUp()
        self.direct = at = freePort()
        self.start(
            "redis-server", "--port", str(at), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)
        )  # fmt: skip
        self.waitForPort(at)
        self.port, *_ = self.portal(at)

    def _cli(self, port: int, *arguments: str, **options: object) -> tuple[int, bytes]:
        done = subprocess.run(
            ["redis-cli", "-p", str(port), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            **options,  # type: ignore[call-overload]
        )
        return done.returncode, done.stdout

    def test_pipe(self) -> None:
        """
        C{redis-cli --pipe}: a mass of commands without waiting for answers.
        """
        commands = self.folder / "commands"
        value = "v" * 200
        commands.write_text("".join(f"SET key{number} {value}{number}\r\n" for number in range(100_000)))
        seen = []
        for port in (self.direct, self.port):
            with commands.open("rb") as stdin:
                seen.append(self._cli(port, "--pipe", stdin=stdin))
            self.assertEqual(self._cli(port, "DBSIZE"), (0, b"100000\n"))
            self._cli(port, "FLUSHALL")
        self.assertEqual(seen[0], seen[1])
        self.assertIn(b"errors: 0, replies: 100000", seen[1][1])

    def test_monitor(self) -> None:
        """
        C{MONITOR}: one connection that only listens hears what all others do,
        until the server ends it.
        """
        seen = []
        for port in (self.direct, self.port):
            monitor = subprocess.Popen(
                ["redis-cli", "-p", str(port), "MONITOR"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self.addCleanup(monitor.wait)
            self.addCleanup(monitor.kill)
            assert monitor.stdout is not None
            self.addCleanup(monitor.stdout.close)
            self.assertEqual(monitor.stdout.readline(), b"OK\n")
            with socket.create_connection(("127.0.0.1", self.direct), PATIENCE) as other:
                other.sendall(b"".join(b"ECHO %d\r\n" % number for number in range(5000)))
                heard = [monitor.stdout.readline().split()[-1] for _ in range(5000)]
            self.assertEqual(heard, [b'"%d"' % number for number in range(5000)])
            ended = self._cli(self.direct, "CLIENT", "KILL", "TYPE", "normal")
            self.assertEqual(ended[0], 0)
            rest = monitor.stdout.read()
            seen.append((monitor.wait(PATIENCE), b"client" in rest or not rest))
        self.assertEqual(seen[0], seen[1])
