"""What a client's requests do: authentication, subscriptions, and the replies."""

import enum
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from websockets.frames import CloseCode

from gateway import messages
from gateway.access.credentials import Shown, ShownToken, shown_as
from gateway.access.grant import Caller
from gateway.access.guard import UNREADABLE, NotYet, Refusal, Unsure
from gateway.channels import Channel
from gateway.endpoints import NATIVE, Endpoint
from gateway.messages import Auth, Name, RequestError, Subscribe, Unsubscribe

if TYPE_CHECKING:
    from gateway.connection import Connection

Asked = Subscribe | Unsubscribe | RequestError
"""What a message asks for besides to be let in; an error: what is wrong with it."""


def hello(client: "Connection", shown: Shown | None) -> None:
    """Welcome a client; *shown* are the credentials in its handshake request, if any.

    The door refuses most connections that are too many. Here they are counted, so that of two
    that come at once, in two workers, none gets in beyond the limit.
    """
    shared = client.shared
    client.reply({"T": "success", "msg": "connected"})
    limits = shared.limits
    is_limited = shared.guard.required or not limits.only_with_keys
    limit = limits.max_connections_per_ip if is_limited else 0
    if limit and shared.roster.from_same_address(client) > limit:
        error = (messages.CONNECTION_LIMIT, f"connection limit exceeded: {limit} per address")
        client.close(CloseCode.POLICY_VIOLATION, "connection_limit", error=error)
    elif shown is not None:
        authenticate(client, shown)
    elif shared.guard.required:
        shared.roster.auth.start(client, shared.monotonic_ns())


def handle_request(client: "Connection", payload: bytes, *, binary: bool) -> None:
    """Do what one message asks for, and reply; while the client resumes it is kept for later."""
    shared = client.shared
    if shared.late.hold(client, payload, binary=binary):
        return
    asked: Asked | Auth
    try:
        asked = messages.decode_request(payload, binary=binary, endpoint=client.endpoint)
    except RequestError as exc:
        asked = exc
    if isinstance(asked, Auth):  # at once also in a resume: what was shown before may end by then
        _do(client, asked)
    else:
        take(client, asked)


def take(client: "Connection", asked: Asked) -> None:
    """Do what was *asked*, or say why not; while the client resumes it is kept for later."""
    if not client.shared.resumes.hold(client, asked):
        _do(client, asked)


def _do(client: "Connection", asked: Asked | Auth) -> None:
    try:
        if isinstance(asked, RequestError):
            raise asked
        if isinstance(asked, Auth):
            _on_auth(client, asked)
        elif client.shared.guard.required and not client.authenticated:
            raise RequestError(
                messages.NOT_AUTHENTICATED, "not authenticated: send auth with key and secret first"
            )
        else:
            _change(client, asked)
    except RequestError as exc:
        client.refuse(exc.code, exc.reason, exc.refused)


def _on_auth(client: "Connection", request: Auth) -> None:
    shown = shown_as(request.key, request.secret)
    renews = client.caller.by_token and isinstance(shown, ShownToken)
    if client.authenticated and not renews:
        raise RequestError(messages.ALREADY_AUTHENTICATED, "already authenticated")
    authenticate(client, shown)


class After(enum.Enum):
    """What was done for a token whose key is not known."""

    NOTHING = 1
    LOOK = 2
    FAILURE = 3  # to look: the keys cannot be had


def authenticate(client: "Connection", shown: Shown | None, after: After = After.NOTHING) -> None:
    """Let *client* in for what it shows, or refuse it."""
    shared = client.shared
    found = shared.guard.judge(shown, client.address, is_in=client.authenticated)
    if isinstance(found, Unsure):
        is_new = after is After.NOTHING
        if is_new and shown is not None and shared.late.start(client, shown, found.key_id):
            return
        found = UNREADABLE
        if after is not After.FAILURE:
            shared.guard.count_failure(client.address)
            found = Refusal("the token's key is not among those that are accepted")
    if isinstance(found, NotYet):
        put_off(client, found)
    elif isinstance(found, Refusal):
        _refuse(client, found)
    elif client.authenticated:
        _renew(client, found)
    else:
        _let_in(client, found)


def _refuse(client: "Connection", refusal: Refusal) -> None:
    error = (messages.AUTH_FAILED, f"auth failed: {refusal.reason}")
    if refusal.retry_after_s:  # what it shows may well be good: it is to come back
        wait = f"try again in {refusal.retry_after_s} s"
        error = (messages.CONNECTION_LIMIT, f"{refusal.reason}; {wait}")
    if client.authenticated:  # what it showed before still holds
        client.refuse(*error)
    else:
        client.close(CloseCode.POLICY_VIOLATION, "auth", error=error)


def put_off(client: "Connection", found: NotYet) -> None:
    """Nobody can tell at the moment whether what *client* shows is good: no fault of its own."""
    error = (messages.INTERNAL, f"{found.reason}; try again")
    if client.authenticated:
        client.refuse(*error)
    else:
        client.close(CloseCode.TRY_AGAIN_LATER, "auth", error=error)


def _let_in(client: "Connection", caller: Caller) -> None:
    shared = client.shared
    before, client.authenticated, client.caller = client.caller, True, caller
    shared.roster.auth.stop(client)
    if caller.key_id:
        limit = caller.connections or shared.limits.max_connections_per_key
        if shared.roster.let_in(client, caller.key_id, caller.expires_ns) > limit > 0:
            error = (messages.CONNECTION_LIMIT, f"connection limit exceeded: {limit} per key")
            client.close(CloseCode.POLICY_VIOLATION, "connection_limit", error=error)
            return
    client.reply({"T": "success", "msg": "authenticated"})
    client.caller = before  # perhaps it subscribed, or resumes, from when nobody needed a key
    regrant(client, caller)


def _renew(client: "Connection", caller: Caller) -> None:
    """A new token on a live connection takes the place of the one before."""
    if caller.key_id != client.caller.key_id:
        client.refuse(messages.AUTH_FAILED, "auth failed: the token is of another subject")
        return
    client.reply({"T": "success", "msg": "authenticated"})
    regrant(client, caller)


def regrant(client: "Connection", caller: Caller) -> None:
    """*client* may read what *caller* may from now on; it is told if that ends a subscription."""
    shared, before = client.shared, client.caller
    client.caller = caller
    shared.roster.expire_at(client, caller.expires_ns)
    if (before.symbols, before.channels) == (caller.symbols, caller.channels):
        return
    shared.resumes.regrant(client)
    shared.fanout.settle(client)
    hub = shared.fanout.hub
    names = hub.names(client)
    for send in hub.regrant(client, caller, shared.monotonic_ns()):
        send.write((client,))
    client.make_up()
    if hub.names(client) != names:
        client.reply(subscription(hub.names(client), client.endpoint))
        shared.on_change()


def review(client: "Connection") -> None:
    """The keys have changed, or the time of a caller has come: does *client* still have its?"""
    shared = client.shared
    if client.over:
        return
    if not client.authenticated or not client.caller.key_id:
        if shared.guard.required and client not in shared.roster.auth:
            client.authenticated = False
            shared.roster.auth.start(client, shared.monotonic_ns())
        return
    caller = shared.guard.renewed(client.caller)
    if caller is None:
        over = shared.guard.is_over(client.caller)
        what = "token" if client.caller.by_token else "API key"
        reason = f"auth failed: the {what} {'has expired' if over else 'was revoked'}"
        client.close(CloseCode.POLICY_VIOLATION, "auth", error=(messages.AUTH_FAILED, reason))
    elif caller != client.caller:
        regrant(client, caller)


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
    client.make_up()
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
    now_ns, caller = shared.monotonic_ns(), client.caller
    for send in hub.subscribe(client, request.names, now_ns, request.options, caller):
        send.write((client,))
    client.make_up()
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
