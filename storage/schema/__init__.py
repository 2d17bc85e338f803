"""The database schema: numbered SQL files, each applied once and never changed afterwards."""
