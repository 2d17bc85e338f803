"""Benchmarks: `make bench` measures and writes docs/benchmarks.md; never part of `make test`."""
