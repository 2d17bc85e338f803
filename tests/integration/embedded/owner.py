"""A program that owns embedded servers, as `tickgate dev` does: starts, tells, waits, stops.

``python owner.py DATA_DIR``: prints one JSON line with the addresses and pids, or with the error;
stops the servers when its input ends.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

from storage.embedded import EmbeddedError, EmbeddedServers


async def main() -> None:
    logging.basicConfig()
    servers = EmbeddedServers(Path(sys.argv[1]))
    try:
        await servers.start()
    except EmbeddedError as exc:
        print(json.dumps({"error": type(exc).__name__, "text": str(exc)}), flush=True)
        return
    assert servers.valkey is not None
    assert servers.postgres is not None
    told = {
        "redis_url": servers.redis_url,
        "database_url": servers.database_url,
        "pids": [servers.valkey.pid, servers.postgres.pid],
    }
    print(json.dumps(told), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await servers.stop()


asyncio.run(main())
