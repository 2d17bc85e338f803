"""The feeds that the settings name, checked before anything starts."""

import contextlib
import os

from core.runtime.config import ConfigError, Loaded, Problem, mask, mask_value
from ingest.errors import SpecError
from ingest.spec import FeedSpec, ReplayOptions, name_feeds
from tickgate.rules import problem
from tickgate.settings import DEV, Settings

DEFAULT_FEED = "sim:?symbols=50&rate=1000&seed=1&history=240"


def feeds_of(loaded: Loaded[Settings], command: str) -> list[FeedSpec]:
    """The parsed feeds; `dev` without any gets the simulation.

    Raises:
        ConfigError: names every spec that is wrong, the file that cannot be read, or why
            ``exit_at_end`` would never come true.
    """
    texts = loaded.values.feed or ((DEFAULT_FEED,) if command == DEV else ())
    if not texts:
        raise ConfigError([problem(loaded, "feed", "at least one feed, such as " + DEFAULT_FEED)])
    specs, problems = [], []
    for text in texts:
        try:
            spec = FeedSpec.parse(text)
        except SpecError as exc:
            problems.append(Problem(loaded.sources["feed"], "", mask(str(exc))))
            continue
        specs.append(spec)
        problems += _unreadable(loaded, spec)
    endless = [spec.text for spec in specs if not spec.has_end]
    if loaded.values.exit_at_end and endless:
        accepted = f"feeds that have an end, which {mask_value(endless[0])} has not"
        problems.append(problem(loaded, "exit_at_end", accepted))
    if problems:
        raise ConfigError(problems)
    return specs


def names_with_end(loaded: Loaded[Settings], command: str) -> frozenset[str]:
    """Stream names of the feeds whose end ends the program; empty without ``exit_at_end``.

    Raises:
        ConfigError: as :func:`feeds_of`.
        ReplayFileError: a file is none of trades.
    """
    if not loaded.values.exit_at_end:
        return frozenset()
    from ingest.replay_file import ReplayFile

    specs = feeds_of(loaded, command)
    names = set()
    for spec, name in zip(specs, name_feeds(specs), strict=True):
        assert isinstance(spec.options, ReplayOptions)  # feeds_of refuses what has no end
        with contextlib.closing(ReplayFile(spec.options.path, spec.options.venue)) as file:
            names.add(f"{name}-{file.open()}")
    return frozenset(names)


def _unreadable(loaded: Loaded[Settings], spec: FeedSpec) -> list[Problem]:
    options = spec.options
    if not isinstance(options, ReplayOptions) or os.path.isfile(options.path):
        return []
    return [Problem(loaded.sources["feed"], repr(options.path), "the path of a file to replay")]
