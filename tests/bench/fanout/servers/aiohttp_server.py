"""An aiohttp application that sends to one client after the other, uvloop, no compression."""

import uvloop
from aiohttp import WSMsgType, web

from tests.bench.fanout.servers import play


async def main() -> None:
    asked = play.subscriptions()
    clients: dict[int, web.WebSocketResponse] = {}

    async def hold(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        clients[int(request.match_info["number"])] = socket
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/{number}", hold)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    port = runner.addresses[0][1]
    async for window in play.windows(port):
        message = play.message_for_all(window, asked)
        if message is not None:
            for socket in clients.values():
                await socket.send_frame(message, WSMsgType.TEXT)
            continue
        for number, batch in play.batches(window, asked):
            await clients[number].send_frame(batch, WSMsgType.TEXT)


if __name__ == "__main__":
    uvloop.run(main())
