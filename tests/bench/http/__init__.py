"""How fast the HTTP API answers, beside FastAPI with asyncpg on the same table."""
