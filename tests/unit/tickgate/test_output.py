import os
import subprocess
import sys

import pytest


def tickgate(arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run it by the shell, which knows how to close what it is given."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TICKGATE_")} | variables
    command = f'exec "{sys.executable}" -m tickgate {arguments}'
    return subprocess.run(command, shell=True, env=environ, capture_output=True, timeout=30)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_terminal_without_all_characters_gets_them_escaped(encoding: str) -> None:
    done = tickgate("watch --help", PYTHONIOENCODING=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: tickgate watch SYMBOL\\u2026 [options]")


def test_a_byte_that_is_no_text_is_shown_as_one() -> None:
    done = tickgate("import bars $(printf '\\377.csv') --database-url postgresql://h/x")

    assert done.returncode == 1
    assert done.stderr == b"tickgate import: \\udcff.csv: there is no such file\n"


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_command_whose_streams_are_closed_does_its_work(closed: str) -> None:
    done = tickgate(f"config {closed}")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_closed_standard_error_hides_the_reason_not_the_exit_code() -> None:
    assert tickgate("dve 2>&-").returncode == 2


def test_an_output_that_takes_nothing_is_told_in_a_sentence() -> None:
    done = tickgate("config > /dev/full")

    assert done.returncode == 1
    assert done.stderr == (
        b"tickgate config: cannot write to the standard output: no space left on device\n"
    )
