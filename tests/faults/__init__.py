"""Faults against real processes: whatever dies, stalls, repeats or comes late, bars stay exact.

`python -m tests.faults` (`make faults`) runs every fault with many seeds; `docs/reliability.md`
says what is done and shows what came out.
"""
