"""The map of uids for a server that must not see itself as root; disk use."""

import os
from pathlib import Path

import pytest

from storage.embedded import disk_usage
from storage.embedded.launch import uid_extents
from storage.embedded.valkey import max_memory_bytes


def _inside_to_outside(text: str, upto: int = 200) -> dict[int, int]:
    rows = [tuple(map(int, line.split())) for line in text.splitlines()]
    seen: dict[int, int] = {}
    for inside, outside, count in rows:
        for i in range(min(count, upto)):
            assert inside + i not in seen, "a uid inside names two outside"
            seen[inside + i] = outside + i
    return seen


@pytest.mark.parametrize("alias", [1, 2, 65, 99, 100])
@pytest.mark.parametrize("own", [0, 1, 64, 99])
@pytest.mark.parametrize("ranges", [[(0, 100)], [(0, 1)], [(0, 65), (65, 35)], []])
def test_the_own_uid_gets_another_name_and_all_others_keep_theirs(
    alias: int, own: int, ranges: list[tuple[int, int]]
) -> None:
    seen = _inside_to_outside(uid_extents(alias, own, ranges))

    assert seen.pop(alias) == own
    there = {uid for first, count in ranges for uid in range(first, first + count)}
    assert seen == {uid: uid for uid in there - {alias, own}}


def test_the_map_of_a_whole_machine_takes_three_lines() -> None:
    assert uid_extents(65534, 0, [(0, 4294967295)]) == (
        "65534 0 1\n1 1 65533\n65535 65535 4294901760\n"
    )


def test_streams_reach_their_bound_before_valkey_refuses_writes() -> None:
    for bound in (1 << 20, 1 << 30, 16 << 30):
        assert max_memory_bytes(bound) > bound * 1.2


def test_disk_usage_counts_all_files_below_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "a" / "loop").symlink_to(tmp_path)

    used = disk_usage(tmp_path)

    assert 100_000 <= used < 150_000
    assert disk_usage(tmp_path / "absent") == 0
