"""Sharing: which shards an aggregator takes, and which it gives up. Pure."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from storage.rows import LeaseView


class Plan(NamedTuple):
    """What to do with the shards now."""

    wanted: frozenset[int]  # free for anybody; at most ``room`` of them
    room: int
    surplus: frozenset[int]  # held, and to be given up in order
    elsewhere: frozenset[int]  # others hold them by leases that are good
    overdue: frozenset[str]  # owners whose leases others may take
    is_settled: bool  # nobody else holds too much, and this one not too little


def share(
    view: LeaseView,
    me: str,
    *,
    held: Mapping[int, int],
    parting: Collection[int],
    gone: Collection[str],
    may_take_expired: bool,
) -> Plan:
    """Share the shards evenly between the aggregators that run.

    Nobody holds more than an even part, rounded up, so it does not matter who comes first.

    Args:
        view: as it was when the leases were renewed.
        me: this aggregator's name.
        held: tokens of the shards that it holds, by shard.
        parting: those of *held* that are being given up.
        gone: owners whose processes are known to have ended.
        may_take_expired: leases that ran out are free; False while their owners may only have
            lost sight of the database, as all did.
    """
    shards = len(view.leases)
    members = (view.members | {me}).difference(gone)
    at_most = -(-shards // len(members))
    others = [lease for lease in view.leases if lease.shard not in held]
    expired = [lease for lease in others if lease.owner in gone or lease.expired]
    free = {lease.shard for lease in others if lease.owner in ("", me) or lease.owner in gone}
    if may_take_expired:
        free |= {lease.shard for lease in expired}
    staying = sorted(shard for shard in held if shard not in parting)
    return Plan(
        wanted=frozenset(free),
        room=max(0, at_most - len(held)),
        surplus=frozenset(staying[at_most:]),
        elsewhere=frozenset(
            lease.shard for lease in set(others).difference(expired) if lease.shard not in free
        ),
        overdue=frozenset(lease.owner for lease in expired if lease.shard in free),
        is_settled=not expired and not parting and len(held) >= shards // len(members),
    )
