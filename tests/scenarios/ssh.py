"""
A private machine that is reached with ssh through a portal.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess

from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import ScenarioTestCase, freePort, require


class SSHServerTestCase(ScenarioTestCase):
    """
    An ssh server with keys of its own.

    @ivar direct: The port of the server.
    @ivar options: What C{ssh} and C{scp} need.
    @ivar user: Who to log in as.
    """

    def setUp(self) -> None:
        """
        A server with keys of its own.
        """
        require("ssh", "sshd", "scp", "ssh-keygen")
        super().setUp()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")
        self.direct = at = freePort()
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {at}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
        )
        sshd = str(shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"))
        checked = subprocess.run([sshd, "-t", "-f", str(config)], capture_output=True, text=True)
        if checked.returncode:
            raise SkipTest(f"SSHD DOES NOT RUN HERE: {checked.stderr.strip()}")
        self.start(sshd, "-D", "-e", "-f", str(config))
        self.waitForPort(at)
        self.know(at)
        self.options = ["-F", "/dev/null", "-i", str(self.folder / "user"), "-o", "IdentitiesOnly=yes"]
        self.options += ["-o", f"UserKnownHostsFile={self.folder}/known", "-o", "StrictHostKeyChecking=yes"]
        self.options += ["-o", "BatchMode=yes"]
        self.user = pwd.getpwuid(os.getuid()).pw_name

    def know(self, port: int) -> None:
        """
        That is where the server is.
        """
        with (self.folder / "known").open("a") as known:
            known.write(f"[127.0.0.1]:{port} {(self.folder / 'host.pub').read_text()}")


class SSHTestCase(SSHServerTestCase):
    """
    The same, and a portal to it.

    @ivar port: The port of the inlet.
    """

    def setUp(self) -> None:
        """
        The server, and the portal.
        """
        super().setUp()
        self.port, *_ = self.portal(self.direct)
        self.know(self.port)
