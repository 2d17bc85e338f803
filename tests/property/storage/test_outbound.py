"""Whatever a server loses, and whichever reply is lost: readers get each block once, in order."""

from hypothesis import given
from hypothesis import strategies as st

from storage.entry_id import ZERO_ID, EntryId
from storage.outbound import Outbound
from storage.replay_ring import ReplayRing

STEPS = st.lists(
    st.one_of(
        st.just("put"), st.just("send"), st.just("reply lost"), st.just("read"),
        st.integers(0, 3),  # a failover that loses so many entries
    ),
    max_size=60,
)  # fmt: skip


class Server:
    """A stream and its fence, as the scripts treat them."""

    def __init__(self) -> None:
        self.entries: list[tuple[EntryId, int]] = []

    @property
    def end(self) -> tuple[EntryId, int]:
        return self.entries[-1] if self.entries else (ZERO_ID, 0)

    def append(self, outbound: Outbound) -> int | None:
        """How many blocks were stored; None: the end is elsewhere."""
        if self.end[0] != outbound.stored_id:
            return None
        batch = outbound.batch(max_bytes=3)
        assert all(entry.entry_id > self.end[0] for entry in batch)
        self.entries += [(entry.entry_id, entry.number) for entry in batch]
        return len(batch)


class Run:
    """A writer, a server that fails over, and a reader."""

    def __init__(self) -> None:
        self.server, self.outbound = Server(), Outbound(0)
        self.ring = ReplayRing(max_bytes=10**6, keep_ms=10**6)
        self.position = ZERO_ID
        self.read: list[int] = []

    def step(self, step: str | int) -> None:
        if step == "put":
            self.outbound.put(self.outbound.number + 1, b"x", now_ms=7)
        elif step == "read":
            self.look()
        elif isinstance(step, int):
            entries = self.server.entries
            self.server.entries = entries[: max(0, len(entries) - step)]
        elif len(self.outbound) or self.server.end[0] != self.outbound.stored_id:
            self.send(lost=step == "reply lost")

    def send(self, *, lost: bool) -> None:
        stored = self.server.append(self.outbound)
        if stored is None:
            found = self.outbound.repair(*self.server.end, self.ring)
            assert (found.missing, found.foreign) == (0, False)
            done = found.confirmed
        else:
            done = self.outbound.stored(0 if lost else stored)
        for entry in done:
            self.ring.add(entry)

    def look(self) -> None:
        new = [entry for entry in self.server.entries if entry[0] > self.position]
        self.read += [number for _, number in new]
        self.position = max([self.position, *[entry_id for entry_id, _ in new]])


@given(STEPS)
def test_a_reader_gets_every_block_once_and_in_order(steps: list[str | int]) -> None:
    run = Run()

    for step in [*steps, *["send"] * 130, "read"]:
        run.step(step)

    assert run.read == list(range(1, run.outbound.number + 1))
    assert len(run.outbound) == 0
