"""picows, uvloop: `transport.send` to one client after the other."""

import uvloop
from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from tests.bench.fanout.servers import play


class Client(WSListener):
    """Keeps its transport where the sender finds it."""

    def __init__(self, clients: dict[int, WSTransport], number: int) -> None:
        self._clients, self._number = clients, number

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._clients[self._number] = transport


async def main() -> None:
    asked = play.subscriptions()
    clients: dict[int, WSTransport] = {}

    def accept(request: WSUpgradeRequest) -> Client:
        return Client(clients, play.number_of(request.path.decode()))

    server = await ws_create_server(accept, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    async for window in play.windows(port):
        message = play.message_for_all(window, asked)
        if message is not None:
            for transport in clients.values():
                transport.send(WSMsgType.TEXT, message)
            continue
        for number, batch in play.batches(window, asked):
            clients[number].send(WSMsgType.TEXT, batch)


if __name__ == "__main__":
    uvloop.run(main())
