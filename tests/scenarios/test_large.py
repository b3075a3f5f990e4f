"""
A GiB in each direction, with real programs.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.scenarios.processes import CURL, ScenarioTestCase, require

MIB = 1024 * 1024
SIZE = 1024 * MIB


def makeFile(path: Path) -> str:
    """
    Make a file in which no two blocks are the same.

    @return: Its SHA-256.
    """
    digest, block = hashlib.sha256(), bytearray(os.urandom(MIB))
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            block[:8] = number.to_bytes(8, "big")
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


class LargeTests(ScenarioTestCase):
    """
    C{curl} at the inlet, a web server at the outlet.
    """

    def setUp(self) -> None:
        """
        A file in a folder that is served.
        """
        require("curl")
        super().setUp()
        folder = self.folder / "private"
        folder.mkdir()
        self.file = folder / "large"
        self.digest = makeFile(self.file)
        self.port, *_ = self.portal(self.target("files", str(folder)))

    def test_download(self) -> None:
        """
        1 GiB comes down unchanged.
        """
        with subprocess.Popen([*CURL, f"http://127.0.0.1:{self.port}/large"], stdout=subprocess.PIPE) as curl:
            assert curl.stdout is not None
            digest = hashlib.file_digest(curl.stdout, "sha256").hexdigest()  # type: ignore[arg-type]
        self.assertEqual(curl.returncode, 0)
        self.assertEqual(digest, self.digest)

    def test_upload(self) -> None:
        """
        1 GiB goes up unchanged.
        """
        url = f"http://127.0.0.1:{self.port}/large"
        done = subprocess.run([*CURL, "-H", "Expect:", "-T", str(self.file), url], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, self.digest)
