"""What a client's requests do: authentication, subscriptions, and the replies."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from websockets.frames import CloseCode

from gateway import messages
from gateway.channels import Channel
from gateway.endpoints import NATIVE, Endpoint
from gateway.messages import Auth, Name, RequestError, Subscribe, Unsubscribe

if TYPE_CHECKING:
    from gateway.connection import Connection

_TOKEN_KEYS: Final = ("oauth", "access_token")  # the secret then is KEYID:SECRET


def hello(client: "Connection", shown: tuple[str, str] | None) -> None:
    """Welcome a client; *shown* are the credentials in its handshake request, if any.

    The door refuses most connections that are too many. Here they are counted, so that of two
    that come at once, in two workers, none gets in beyond the limit.
    """
    shared = client.shared
    client.reply({"T": "success", "msg": "connected"})
    limit = shared.limits.max_connections_per_ip
    if limit and shared.roster.from_same_address(client) > limit:
        error = (messages.CONNECTION_LIMIT, f"connection limit exceeded: {limit} per address")
        client.close(CloseCode.POLICY_VIOLATION, "connection_limit", error=error)
    elif shown is not None:
        _authenticate(client, *shown)
    elif shared.keys.required:
        shared.roster.auth.start(client, shared.monotonic_ns())


def handle_request(client: "Connection", payload: bytes, *, binary: bool) -> None:
    """Do what one message asks for, and reply; while the client resumes it is kept for later."""
    if client.shared.resumes.hold(client, payload, binary=binary):
        return
    try:
        request = messages.decode_request(payload, binary=binary, endpoint=client.endpoint)
        if isinstance(request, Auth):
            _on_auth(client, request)
            return
        if client.shared.keys.required and not client.authenticated:
            raise RequestError(
                messages.NOT_AUTHENTICATED, "not authenticated: send auth with key and secret first"
            )
        _change(client, request)
    except RequestError as exc:
        client.refuse(exc.code, exc.reason)


def _on_auth(client: "Connection", request: Auth) -> None:
    if client.authenticated:
        raise RequestError(messages.ALREADY_AUTHENTICATED, "already authenticated")
    key_id, secret = request.key, request.secret
    if key_id in _TOKEN_KEYS:
        key_id, _, secret = secret.partition(":")
    _authenticate(client, key_id, secret)


def _authenticate(client: "Connection", key_id: str, secret: str) -> None:
    shared = client.shared
    if not shared.keys.check(key_id, secret):
        error = (messages.AUTH_FAILED, "auth failed")
        client.close(CloseCode.POLICY_VIOLATION, "auth", error=error)
        return
    client.authenticated, client.key_id = True, key_id
    shared.roster.auth.stop(client)
    limit = shared.limits.max_connections_per_key
    same_key = shared.roster.let_in(client, key_id) if shared.keys.required else 0
    if limit and same_key > limit:
        error = (messages.CONNECTION_LIMIT, f"connection limit exceeded: {limit} per key")
        client.close(CloseCode.POLICY_VIOLATION, "connection_limit", error=error)
        return
    client.reply({"T": "success", "msg": "authenticated"})


def _change(client: "Connection", request: Subscribe | Unsubscribe) -> None:
    shared = client.shared
    if isinstance(request, Subscribe):
        if request.resume:
            shared.resumes.start(client, request)
        else:
            enter(client, request, snapshot=request.names if request.snapshot else (), tell=True)
        return
    shared.fanout.settle(client)
    hub = shared.fanout.hub
    for send in hub.unsubscribe(client, request.names, shared.monotonic_ns()):
        send.write((client,))
    client.reply(subscription(hub.names(client), client.endpoint))
    shared.on_change()


def enter(
    client: "Connection", request: Subscribe, *, snapshot: Sequence[Name], tell: bool = False
) -> None:
    """Subscribe *client*: the reply if it is to *tell*, the *snapshot*, a cursor, then live.

    Raises:
        RequestError: a name is refused; nothing has changed then.
    """
    shared = client.shared
    shared.fanout.settle(client)
    was_idle = client.group is None
    hub = shared.fanout.hub
    for send in hub.subscribe(client, request.names, shared.monotonic_ns(), request.options):
        send.write((client,))
    if tell:
        client.reply(subscription(hub.names(client), client.endpoint))
    for send in (*hub.snapshot(client, snapshot), *hub.cursor(client)):
        client.deliver(send.framed())
    if was_idle and client.group is not None:
        shared.on_subscribed(client)
    shared.on_change()


def subscription(names: Collection[Name], endpoint: Endpoint = NATIVE) -> dict[str, Any]:
    """The entire set; every channel of *endpoint* is there, empty or not."""
    by_channel: dict[str, list[str]] = {channel.value: [] for channel in endpoint.channels}
    for channel, spelling in sorted(names):
        by_channel.setdefault(channel.value, []).append(spelling)
    with_trades = dict.fromkeys(endpoint.with_trades, by_channel[Channel.TRADES.value])
    return {"T": "subscription", **by_channel, **with_trades}
