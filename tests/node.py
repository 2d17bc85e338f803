"""The page's modules in Node, without a browser."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "gateway" / "page"
_EXIT_S = 30.0


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
    lines.append("const tell = (value) => console.log(JSON.stringify(value));")
    command = [find_node(), "--no-warnings", "--input-type=module", "--eval"]
    done = subprocess.run(
        [*command, "\n".join([*lines, script])],
        capture_output=True,
        check=False,
        text=True,
        timeout=_EXIT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
