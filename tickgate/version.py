"""The version of the installed program."""

from importlib import metadata


def version() -> str:
    """As `pyproject.toml` has it; ``0+source`` in a tree that was never installed."""
    try:
        return metadata.version("tickgate")
    except metadata.PackageNotFoundError:
        return "0+source"
