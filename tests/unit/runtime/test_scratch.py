"""Folders that are gone with their maker."""

import os
import subprocess
import sys
from pathlib import Path

from core.runtime.scratch import scratch_folder

KEEPER = """
import sys, time
from pathlib import Path
from core.runtime.scratch import scratch_folder
with scratch_folder("t-", Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_folder_ends_with_the_block(tmp_path: Path) -> None:
    with scratch_folder("t-", tmp_path) as folder:
        (folder / "file").write_text("")
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o077 == 0

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_but_not_what_is_in_use(
    tmp_path: Path,
) -> None:
    command = (sys.executable, "-c", KEEPER, str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as keeper:
        assert keeper.stdout is not None
        left = Path(keeper.stdout.readline().decode().strip())
        with scratch_folder("t-", tmp_path):
            assert left.is_dir()
        keeper.kill()

    (tmp_path / "t-file").write_text("")
    with scratch_folder("t-", tmp_path):
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["t-file"]
