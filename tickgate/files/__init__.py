"""Bars and ticks as files: `tickgate export` and `tickgate import`."""
