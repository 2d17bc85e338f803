"""The page's modules in Node, without a browser."""

import atexit
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "gateway" / "page"
_EVALUATE = Path(__file__).parent / "js" / "evaluate.mjs"
_END_S = 5.0
_TELL = """import { parentPort } from "node:worker_threads";
const tell = (value) => parentPort.postMessage(JSON.stringify(value));"""


def find_node() -> str:
    """Node 20 or newer; a skip without it, in CI a failure."""
    found = shutil.which("node")
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail("no node on this machine; in CI it must be there")
    pytest.skip("no node on this machine")


def evaluate(script: str, **modules: str) -> Any:
    """What *script*, an ES module, gives to ``tell``: once, as JSON.

    *modules* are files of the page by the name under which the script has them.
    """
    lines = [
        f"import * as {name} from {json.dumps((PAGE / path).as_uri())};"
        for name, path in modules.items()
    ]
    lines.append(_TELL)
    answer = _runner().run("\n".join([*lines, script]))
    assert "error" not in answer, answer["error"]
    return json.loads(answer["told"])


class _Runner:
    """One Node for all scripts of this process, which ends it as it ends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [find_node(), "--no-warnings", str(_EVALUATE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._close)

    def run(self, script: str) -> dict[str, Any]:
        """What became of *script*; it has half a minute."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(script) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _close(self) -> None:
        with self._process:  # whose input is closed: it ends
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(_END_S)
            finally:
                self._process.kill()


@cache
def _runner() -> _Runner:
    return _Runner()
