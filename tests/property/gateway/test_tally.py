"""Counts over several workers: equal to a model, never above it, whatever happens."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.tally import Layout, Tally, clear

SECOND_NS = 1_000_000_000
WORKERS = 3
NAMES = 5

workers = st.integers(0, WORKERS - 1)
names = st.integers(0, NAMES - 1)
# What happens: who, which name, what. Few of each, so that they meet.
steps = st.lists(
    st.tuples(
        workers,
        names,
        st.sampled_from(("enter", "enter", "leave", "hit", "hit", "die", "pass_a_second")),
    ),
    max_size=60,
)


class World:
    """Common memory, the view of each worker, and beside them what is true."""

    def __init__(self, *, buckets: int, window_s: int = 1) -> None:
        self.layout = Layout(WORKERS, buckets)
        self.words = memoryview(bytearray(8 * self.layout.words)).cast("Q")
        self.views = [Tally(self.words, self.layout, own) for own in range(WORKERS)]
        self.marks = [self.views[0].mark("ip", str(name)) for name in range(41)]
        self.rates = [self.views[0].mark("rate", str(name)) for name in range(NAMES)]
        self.now_s, self.window_s = 0, window_s
        self.entered: Counter[tuple[int, int]] = Counter()  # (worker, name) → connections
        self.hits: Counter[tuple[int, int, int]] = Counter()  # (worker, name, window) → events

    def enter(self, worker: int, name: int) -> None:
        self.entered[worker, name] += 1
        total = self.views[worker].enter(self.marks[name], self.now_s * SECOND_NS)
        assert total == self.truth(name)

    def leave(self, worker: int, name: int) -> None:
        if self.entered[worker, name]:
            self.entered[worker, name] -= 1
            self.views[worker].leave(self.marks[name])

    def hit(self, worker: int, name: int) -> None:
        window = self.now_s // self.window_s
        self.hits[worker, name, window] += 1
        now_ns = self.now_s * SECOND_NS + 1
        total = self.views[worker].hit(self.rates[name], self.window_s, now_ns)
        assert total == sum(self.hits[each, name, window] for each in range(WORKERS))

    def die(self, worker: int, _: int) -> None:
        clear(self.words, self.layout, worker)
        for key in self.entered:
            self.entered[key] *= key[0] != worker
        for hit in self.hits:
            self.hits[hit] *= hit[0] != worker

    def pass_a_second(self, _: int, __: int) -> None:
        self.now_s += 1

    def truth(self, name: int) -> int:
        return sum(self.entered[worker, name] for worker in range(WORKERS))


@given(steps, st.sampled_from((1, 2, 7)))
def test_the_sums_are_those_of_a_model(history: list[tuple[int, int, str]], window_s: int) -> None:
    world = World(buckets=4, window_s=window_s)

    for worker, name, what in history:
        getattr(world, what)(worker, name)

        for view in world.views:
            assert [view.total(world.marks[n]) for n in range(NAMES)] == [
                world.truth(n) for n in range(NAMES)
            ]


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=120))
def test_a_full_table_counts_too_little_and_never_too_much(history: list[tuple[int, bool]]) -> None:
    world = World(buckets=1)
    view, marks = world.views[0], world.marks
    truth: Counter[int] = Counter()

    for name, enters in history:
        if enters:
            truth[name] += 1
            view.enter(marks[name], 0)
        elif truth[name]:
            truth[name] -= 1
            view.leave(marks[name])
        assert all(view.total(mark) <= truth[n] for n, mark in enumerate(marks))

    if len({name for name, _ in history}) <= 16:  # the entries of a bucket
        assert view.uncounted == 0
        assert all(view.total(mark) == truth[n] for n, mark in enumerate(marks))
    for name, count in truth.items():
        for _ in range(count):
            view.leave(marks[name])
    assert not any(view.total(mark) for mark in marks)  # nothing is stuck
