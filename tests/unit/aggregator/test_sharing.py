"""share(): who takes which shards, and who gives up how many."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.sharing import Plan, share
from storage.rows import LeaseRow, LeaseView


def view(owners: Mapping[int, str], *members: str, expired: Collection[str] = ()) -> LeaseView:
    leases = tuple(LeaseRow(n, owner, owner in expired) for n, owner in sorted(owners.items()))
    return LeaseView(frozenset(), leases, frozenset(members))


def plan(
    seen: LeaseView,
    me: str,
    *,
    parting: Collection[int] = (),
    gone: Collection[str] = (),
    may_take_expired: bool = True,
) -> Plan:
    """As *me*, who holds what the view says."""
    held = {lease.shard: 1 for lease in seen.leases if lease.owner == me}
    return share(seen, me, held=held, parting=parting, gone=gone, may_take_expired=may_take_expired)


def test_who_is_alone_takes_all_at_once() -> None:
    found = plan(view(dict.fromkeys(range(16), "")), "a")

    assert (found.wanted, found.room, found.surplus) == (set(range(16)), 16, set())
    assert not found.is_settled


def test_who_comes_second_waits_for_its_half_and_the_first_gives_it_up() -> None:
    seen = view(dict.fromkeys(range(16), "a"), "a", "b")

    assert plan(seen, "a").surplus == set(range(8, 16))
    assert plan(seen, "a", parting=range(8, 16)).surplus == set()
    second = plan(seen, "b")
    assert (second.wanted, second.room, second.elsewhere) == (set(), 8, set(range(16)))
    assert not second.is_settled


def test_an_even_share_is_rounded_up_and_settled_when_it_is_nearly_even() -> None:
    seen = view({0: "a", 1: "a", 2: "b", 3: "b", 4: "c"}, "a", "b", "c")

    for me in ("a", "b", "c"):
        found = plan(seen, me)
        assert (found.surplus, found.wanted, found.is_settled) == (set(), set(), True)


def test_more_aggregators_than_shards_stand_by() -> None:
    seen = view({0: "a"}, "a", "b")

    assert plan(seen, "b").is_settled
    assert plan(seen, "b").room == 1  # for whoever comes first when it is free


def test_leases_that_ran_out_are_free_once_everybody_could_have_renewed_them() -> None:
    seen = view({0: "a", 1: "a", 2: "b"}, "b", expired=["a"])

    early = plan(seen, "b", may_take_expired=False)
    assert (early.wanted, early.overdue, early.is_settled) == (set(), set(), False)
    assert early.elsewhere == set()
    late = plan(seen, "b")
    assert (late.wanted, late.room, late.overdue) == ({0, 1}, 2, {"a"})


def test_a_process_that_is_gone_neither_counts_nor_keeps_its_leases() -> None:
    seen = view({0: "a", 1: "a", 2: "b"}, "a", "b")

    found = plan(seen, "b", gone=["a"], may_take_expired=False)
    assert (found.wanted, found.room, found.overdue) == ({0, 1}, 2, {"a"})


def test_what_an_earlier_run_of_the_same_name_had_is_free() -> None:
    seen = view({0: "a", 1: "a"}, "a")

    assert share(seen, "a", held={1: 5}, parting=(), gone=(), may_take_expired=False).wanted == {0}


@given(
    owners=st.lists(st.sampled_from(["", "a", "b", "c", "dead"]), min_size=1, max_size=20),
    others=st.sets(st.sampled_from(["a", "b", "c"])),
)
def test_whoever_acts_all_shards_end_up_shared_evenly(owners: list[str], others: set[str]) -> None:
    holders = dict(enumerate(owners))
    members = others | {"a"}
    for _ in range(3):
        for me in sorted(members):
            seen = view(holders, *members, expired={"dead", "b", "c"} - members)
            found = plan(seen, me)
            holders |= dict.fromkeys(found.surplus, "")
            holders |= dict.fromkeys(sorted(found.wanted)[: found.room], me)

    shares = [list(holders.values()).count(me) for me in members]
    assert sum(shares) == len(owners)
    assert max(shares) <= -(-len(owners) // len(members))


@pytest.mark.parametrize("me", ["a", "b"])
def test_what_others_hold_is_told_apart_from_what_is_on_the_move(me: str) -> None:
    seen = view({0: "a", 1: "b", 2: "", 3: "c"}, "a", "b", expired=["c"])

    assert plan(seen, me).elsewhere == ({1} if me == "a" else {0})
