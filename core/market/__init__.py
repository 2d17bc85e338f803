"""Ticks, bars, time windows, symbols and their wire forms: pure, no I/O and no clock."""
