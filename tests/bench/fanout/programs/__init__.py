"""The C programs of the benchmark, compiled when they are wanted."""

import shutil
import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parent
_TIMEOUT_S = 120
_FLAGS = ("-O3", "-march=native", "-Wall", "-Wextra")


class CompileFailed(Exception):
    """There is no C compiler, or it refuses; the message is its own."""


def build(name: str, folder: Path) -> Path:
    """Compile ``NAME.c`` into *folder*; the path of the program.

    Raises:
        CompileFailed: it could not be compiled.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise CompileFailed("no C compiler (Debian: apt-get install gcc libc6-dev)")
    program = folder / name
    command = [compiler, *_FLAGS, "-o", str(program), str(_FOLDER / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode or done.stderr:
        raise CompileFailed(f"{name}.c: {done.stderr[-2000:]}")
    return program
