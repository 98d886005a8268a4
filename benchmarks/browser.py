"""A real Chromium without a window, for tests and benchmarks: the machine's own or Debian's, driven by playwright."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")
INSTALLS_WITHIN = 600.0  # s


class CantRunError(Exception):
    """This machine has no browser and can't get one: says why."""


def find() -> str:
    """Return the path of a Chromium; installs Debian's if this is root with apt-get. Raises CantRunError."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise CantRunError(f"there is no {' or '.join(NAMES)}, and only root with apt-get can install one")
    with open(Path(tempfile.gettempdir()) / "loadgen-chromium.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run twice at a time
        _install()
    path = shutil.which("chromium")
    if not path:
        raise CantRunError("apt-get installed chromium, but it can't be found")
    return path


def _install() -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]):
        if shutil.which("chromium"):
            return
        told = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLS_WITHIN, env=quiet, check=False)
        if told.returncode:
            raise CantRunError(f"{' '.join(command)} failed: {told.stderr.strip()[-300:]}")


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """Run the browser with a profile of its own until the block ends. Raises CantRunError."""
    from playwright.sync_api import sync_playwright

    path = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
