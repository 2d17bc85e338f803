"""A short selection of the faults, for every change; `make faults` runs them all, many times."""

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Seed
from tests.faults.sabotage import CONTROLS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

_LANES = 3
_SELECTION = (
    "kill_ingest",
    "kill_aggregator",
    "kill_gateway",
    "two_aggregators",
    "kill_redis",
    "restart_in_transaction",
    "failover_in_flush",
    "cut",
    "black_hole",
    "cut_reply",
    "duplicates",
    "reordered",
    "clock_step",
)


async def test_bars_stay_exact_through_each_of_some_faults(
    market_data: Path, tmp_path: Path
) -> None:
    campaign = Campaign([Seed(name, 1) for name in _SELECTION], results=tmp_path)

    await campaign.run(_LANES)

    assert {seed.fault for seed in campaign.outcomes} == set(_SELECTION)
    assert not campaign.failed, "\n".join(map(str, campaign.failed))


async def test_what_keeps_bars_exact_is_missed_when_it_is_taken_out(
    market_data: Path, tmp_path: Path
) -> None:
    seeds = [Seed(fault, n, part) for part, fault, count in CONTROLS for n in range(1, count + 1)]
    campaign = Campaign(seeds, results=tmp_path, complete_s=3)

    await campaign.run(_LANES)

    told = "\n".join(map(str, campaign.outcomes.values()))
    assert all(outcome.hit for outcome in campaign.outcomes.values()), told
    missed = {s.without for s, outcome in campaign.outcomes.items() if outcome.verdict.wrong_bars}
    assert missed == {part for part, _, _ in CONTROLS}, told
