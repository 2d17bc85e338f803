"""`websockets.broadcast()` on the package's asyncio server, uvloop, without compression."""

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.bench.fanout.servers import play


async def main() -> None:
    asked = play.subscriptions()
    clients: dict[int, ServerConnection] = {}

    async def hold(connection: ServerConnection) -> None:
        assert connection.request is not None
        clients[play.number_of(connection.request.path)] = connection
        await connection.wait_closed()

    async with serve(
        hold, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=4096
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async for window in play.windows(port):
            message = play.message_for_all(window, asked)
            if message is not None:
                broadcast(clients.values(), message, text=True)
                continue
            for number, batch in play.batches(window, asked):
                broadcast((clients[number],), batch, text=True)


if __name__ == "__main__":
    uvloop.run(main())
