"""What tests need of npm, in the versions of `tests/js/package-lock.json`."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "js"
_LOCK = FOLDER / "package-lock.json"
_INSTALLED = FOLDER / "node_modules" / ".package-lock.json"
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
_NPM_S = 120.0


def installed() -> Path:
    """The folder of the packages, fetched first if need be; a skip without npm, in CI a failure.

    Raises:
        subprocess.CalledProcessError: npm could not install them.
    """
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("no npm on this machine; in CI it must be there")
        pytest.skip("no npm: it has the JavaScript SDK and axe-core")
    with _LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of tests may come at once
        if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < _LOCK.stat().st_mtime:
            subprocess.run(_NPM, cwd=FOLDER, check=True, timeout=_NPM_S)
            _INSTALLED.touch()
    return _INSTALLED.parent
