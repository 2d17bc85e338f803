"""The only code that speaks to Redis and to PostgreSQL/TimescaleDB."""
