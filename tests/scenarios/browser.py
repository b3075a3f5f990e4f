"""
A real browser for scenario tests, without a window.
"""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import PATIENCE, require

#: What it was found as.
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """
    Chromium.

    @ivar driver: Selenium's.
    """

    def __init__(self) -> None:
        """
        @raise SkipTest: There is none.
        """
        require("chromedriver")
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise SkipTest("NOT INSTALLED: chromium")
        try:
            from selenium import webdriver
            from selenium.webdriver.chrome.service import Service
        except ImportError:
            raise SkipTest("NOT INSTALLED: selenium") from None
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for each in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"):
            options.add_argument(each)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver: Any = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))

    def close(self) -> None:
        """
        End it.
        """
        self.driver.quit()

    def look(self, width: int, height: int, isDark: bool = False) -> None:
        """
        Be a screen of that size.
        """
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if isDark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def run(self, script: str) -> Any:
        """
        Ask the page something.

        @param script: JavaScript; what it returns is given back.
        """
        return self.driver.execute_script(script)

    def text(self) -> str:
        """
        What there is to be read.
        """
        return str(self.run("return document.body.innerText"))

    def waitFor(self, script: str, isIt: Callable[[Any], bool] = bool) -> Any:
        """
        Wait until the page says something.
        """
        deadline = time.monotonic() + PATIENCE
        while not isIt(found := self.run(script)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{script}: {found!r}; the page:\n{self.text()}")
            time.sleep(0.1)
        return found

    def complaints(self) -> list[str]:
        """
        What its console says.
        """
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def picture(self, path: Path) -> None:
        """
        Keep a picture of the whole page.
        """
        width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        made = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(made["data"]))
