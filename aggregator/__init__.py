"""Ticks to bars: pure folding core, checkpoint, service."""
