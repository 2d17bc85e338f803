"""A chart of TradingView's library, played: how it pages back through history, and how it polls.

What it checks is what the library documents, and what its published UDF client throws for.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.integration.gateway_http.rig import Rig


@dataclass(kw_only=True)
class Chart:
    """One open chart; ``bars`` are what it would draw, by time."""

    rig: Rig
    symbol: str
    resolution: str
    bars: list[dict[str, float]] = field(default_factory=list)
    drawn: list[dict[str, float]] = field(default_factory=list)  # by the polls, in their order
    requests: int = 0
    ticker: str = ""
    _last_s: float | None = None

    async def ask(self, path: str, **params: object) -> Any:
        """The JSON of an answer, read whatever its status."""
        self.requests += 1
        texts = {name: str(value) for name, value in params.items()}
        async with self.rig.session.get(f"{self.rig.base}/udf/{path}", params=texts) as response:
            return json.loads(await response.text())

    async def open(self) -> dict[str, Any]:
        """Read the configuration and resolve the symbol, as a new chart does."""
        config = await self.ask("config")
        assert config["supports_search"] or config["supports_group_request"]
        assert self.resolution in config["supported_resolutions"]
        info: dict[str, Any] = await self.ask("symbols", symbol=self.symbol)
        assert "s" not in info
        self.ticker = info["ticker"]
        return info

    async def history(self, start_s: int, end_s: int, countback: int | None = None) -> Any:
        """One request for bars; its answer is held to the rules."""
        span: dict[str, int] = {"from": start_s, "to": end_s}
        if countback is not None:
            span["countback"] = countback
        answer = await self.ask("history", symbol=self.ticker, resolution=self.resolution, **span)
        assert answer["s"] in {"ok", "no_data"}, answer
        times = answer.get("t", [])
        assert times == sorted(set(times)), "ascending and unique"
        assert all(time < end_s for time in times), "`to` is exclusive"
        if countback is None:
            assert all(time >= start_s for time in times)
        if answer["s"] == "ok":
            assert times
            columns = [answer[name] for name in "ohlcv"]
            assert all(len(column) == len(times) for column in columns)
            assert all(isinstance(value, float) for column in columns for value in column)
        return answer

    async def scroll_to_the_beginning(self, now_s: int, screen: int) -> None:
        """Ask for screens of bars, each before the last, until there are no more."""
        end_s, step_s = now_s, _seconds(self.resolution) * screen
        while True:
            answer = await self.history(end_s - step_s, end_s, screen)
            if answer["s"] == "no_data":
                return
            assert len(answer["t"]) <= screen
            self.bars = _rows(answer) + self.bars
            end_s = answer["t"][0]
            assert self.requests < 1_000, "it pages for ever"

    async def poll(self, now_s: int) -> None:
        """What the library does every 10 s: two bars, of which the last may be a new one."""
        start_s = now_s - 10 * _seconds(self.resolution)
        answer = await self.history(start_s, now_s, 2)
        rows = _rows(answer)
        if not rows or (self._last_s is not None and rows[-1]["t"] < self._last_s):
            return
        if self._last_s is not None and rows[-1]["t"] > self._last_s:
            assert len(rows) >= 2, "not enough bars for a proper pulse update"
            self.drawn.append(rows[-2])
        self._last_s = rows[-1]["t"]
        self.drawn.append(rows[-1])


def _rows(answer: dict[str, Any]) -> list[dict[str, float]]:
    if answer["s"] != "ok":
        return []
    columns = [answer[name] for name in "tohlcv"]
    return [dict(zip("tohlcv", row, strict=True)) for row in zip(*columns, strict=True)]


def _seconds(resolution: str) -> int:
    return 86_400 if resolution == "1D" else int(resolution) * 60
