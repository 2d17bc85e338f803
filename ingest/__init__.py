"""Venue feeds in: connect, parse, admit, publish blocks of ticks."""
