"""A message that comes in very small pieces takes no more memory than one that comes whole."""

import tracemalloc

import pytest

from gateway.assembly import Assembly


@pytest.mark.parametrize("piece", [b"", b"x", b"xy"])
def test_pieces_take_no_more_than_their_bytes(piece: bytes) -> None:
    tracemalloc.start()
    _filled(piece, 1)  # what is needed once, by a measurement of coverage too
    before, _ = tracemalloc.get_traced_memory()

    assembly = _filled(piece, 20_000)

    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1.25 * 20_000 * len(piece) + 1_000
    assert assembly.payload() == piece * 20_000


def _filled(piece: bytes, times: int) -> Assembly:
    assembly = Assembly(binary=True)
    for _ in range(times):
        assembly.add(bytes(bytearray(piece)), last=False)
    return assembly
