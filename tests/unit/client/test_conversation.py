"""The client's side of a conversation, word by word."""

from typing import Any

import msgspec
import pytest

from tickgate.client.conversation import Ask, Conversation, NotNow, Received
from tickgate.client.errors import AuthFailed, ClientError, Refused, StreamClosed, SymbolRefused
from tickgate.client.messages import Gap, Heartbeat, Shutdown, Trade
from tickgate.client.wire import Encoding

CONNECTED = {"T": "success", "msg": "connected"}
AUTHENTICATED = {"T": "success", "msg": "authenticated"}
AT = "2024-03-12T10:37:00Z"
AT_NS = 1_710_239_820_000_000_000
KEY = {"action": "auth", "key": "id", "secret": "s"}


def trade(ident: int) -> dict[str, Any]:
    return {"T": "t", "S": "A", "p": 1.0, "s": 2.0, "t": AT, "i": ident}


def cursor(text: str) -> dict[str, Any]:
    return {"T": "cursor", "c": text}


def error(code: int, msg: str = "no", **names: list[str]) -> dict[str, Any]:
    return {"T": "error", "code": code, "msg": msg, **names}


class Talk:
    """A conversation in JSON with a gateway that agrees when it is told to."""

    def __init__(self, *, cursor: str = "", **options: Any) -> None:
        self.conversation = Conversation(encoding=Encoding.JSON, options=options, cursor=cursor)
        self.outcomes: list[ClientError | None] = []
        self._agreed: dict[tuple[str, str], None] = {}
        self._asked: list[dict[str, Any]] = []

    def hear(self, *messages: dict[str, Any], now_ns: int = 7) -> Received:
        received = self.conversation.receive(msgspec.json.encode(messages), now_ns)
        self._asked += map(msgspec.json.decode, received.send)
        return received

    def said(self, *messages: dict[str, Any]) -> list[Any]:
        """What the client answers to one frame."""
        return [msgspec.json.decode(text) for text in self.hear(*messages).send]

    def ask(self, *, adds: bool = True, snapshot: bool = False, **names: Any) -> list[Any]:
        requests = [msgspec.json.decode(text) for text in self.put(adds, snapshot, names)[1]]
        self._asked += requests
        return requests

    def put(self, adds: bool, snapshot: bool, names: Any) -> tuple[Ask, list[bytes | str]]:
        ask = Ask(names=names, adds=adds, snapshot=snapshot, done=self.outcomes.append)
        return ask, self.conversation.ask(ask)

    def reconnect(self, login: dict[str, str] | None = None) -> list[Any]:
        self.conversation.begin(login)
        self._agreed.clear()
        return self.said(CONNECTED)

    def agreed(self) -> dict[str, Any]:
        """The reply to what was asked last: the entire set."""
        request = self._asked.pop()
        names = {
            (channel, symbol): None
            for channel, symbols in request.items()
            if isinstance(symbols, list)
            for symbol in symbols
        }
        if request["action"] == "subscribe":
            self._agreed |= names
        else:
            self._agreed = {pair: None for pair in self._agreed if pair not in names}
        found: dict[str, Any] = {"T": "subscription", "quotes": [], "bars15Min": []}
        for channel, symbol in self._agreed:
            found[channel] = [*found.get(channel, []), symbol]
        return found

    def agree(self, *more: dict[str, Any]) -> list[Any]:
        """The gateway agrees; what the client says to that."""
        return self.said(self.agreed(), *more)


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.reconnect()
    return talk


def subscribe(talk: Talk, **names: Any) -> None:
    talk.ask(**names)
    talk.agree()


def test_a_change_waits_for_its_turn_and_is_asked_with_the_options() -> None:
    talk = Talk(mode="latest")
    talk.conversation.begin(None)
    assert talk.ask(trades=("A",)) == []

    assert talk.said(CONNECTED) == [
        {"action": "subscribe", "trades": ["A"], "mode": "latest", "cursor": True}
    ]
    assert talk.ask(adds=False, trades=("A",)) == []
    assert talk.outcomes == []
    assert talk.agree() == [{"action": "unsubscribe", "trades": ["A"]}]
    assert talk.agree() == []
    assert talk.outcomes == [None, None]


def test_requests_are_msgpack_unless_json_was_chosen() -> None:
    conversation = Conversation(encoding=Encoding.MSGPACK)
    conversation.begin(dict(KEY))

    (login,) = conversation.receive(msgspec.msgpack.encode([CONNECTED]), 0).send

    assert isinstance(login, bytes)
    assert msgspec.msgpack.decode(login) == KEY


def test_who_asks_is_shown_before_anything_is_asked() -> None:
    talk = Talk()
    talk.conversation.begin(dict(KEY))
    talk.ask(trades=("A",))
    assert not talk.conversation.is_let_in

    assert talk.said(CONNECTED) == [KEY]
    assert not talk.conversation.is_let_in
    assert [said["action"] for said in talk.said(AUTHENTICATED)] == ["subscribe"]
    assert talk.conversation.is_let_in


def test_data_counts_once_the_cursor_behind_it_has_come(talk: Talk) -> None:
    subscribe(talk, trades=("A",))

    assert talk.hear(trade(1), trade(2)).messages == []
    received = talk.hear(trade(3), cursor("c1"), trade(4))

    assert [message.id for message in received.messages if isinstance(message, Trade)] == [1, 2, 3]
    assert received.cursor == "c1"
    assert talk.hear(cursor("c2")).messages == [Trade("A", 1.0, 2.0, AT_NS, 4)]


def test_heartbeats_and_shutdowns_do_not_wait_for_a_cursor(talk: Talk) -> None:
    beat, end = {"T": "hb", "t": AT, "feeds": {}}, {"T": "shutdown", "msg": "bye", "within_s": 5}

    assert talk.hear(beat).messages == [Heartbeat(AT_NS, {})]
    assert talk.hear(end).messages == [Shutdown("bye", 5.0)]


def test_a_new_connection_restores_the_whole_set_where_the_cursor_stands(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"))
    subscribe(talk, bars=("*",))
    talk.ask(adds=False, trades=("B",))
    talk.agree(cursor("c1"))
    talk.hear(trade(1))  # its cursor never comes

    restored = talk.reconnect()

    assert restored == [
        {"action": "subscribe", "trades": ["A"], "bars": ["*"], "cursor": True, "resume": "c1"}
    ]
    assert talk.conversation.is_resuming
    assert talk.hear(talk.agreed(), trade(1), cursor("c2")).messages == [
        Trade("A", 1.0, 2.0, AT_NS, 1)
    ]
    assert not talk.conversation.is_resuming


def test_changes_that_were_not_answered_are_asked_again_after_the_set(talk: Talk) -> None:
    subscribe(talk, trades=("A",))
    talk.ask(bars=("A",))
    talk.ask(adds=False, trades=("A",))

    first = talk.reconnect()
    second = talk.agree(cursor("c1"))
    third = talk.agree()

    assert [sorted(request) for (request,) in (first, second, third)] == [
        ["action", "cursor", "trades"],
        ["action", "bars", "cursor"],
        ["action", "trades"],
    ]
    assert talk.outcomes == [None, None]


def test_a_cursor_from_an_earlier_life_goes_with_the_first_subscription() -> None:
    talk = Talk(cursor="old")
    talk.reconnect()

    (first,) = talk.ask(trades=("A",))
    talk.agree()
    (second,) = talk.ask(trades=("B",))

    assert first["resume"] == "old"
    assert "resume" not in second


def test_without_any_subscription_left_the_next_one_begins_anew(talk: Talk) -> None:
    subscribe(talk, trades=("A",))
    talk.hear(cursor("c1"))
    talk.ask(adds=False, trades=("A",))
    talk.agree()
    assert not talk.conversation.has_subscriptions

    assert talk.reconnect() == []
    assert "resume" not in talk.ask(trades=("B",))[0]


@pytest.mark.parametrize("code", [400, 500])
def test_a_cursor_that_is_not_known_any_more_is_a_gap_for_each_symbol(
    talk: Talk, code: int
) -> None:
    subscribe(talk, trades=("A", "B"), bars=("A",))
    talk.hear(cursor("c1"), now_ns=100)
    talk.reconnect()

    anew = talk.said(error(code, "resume: of another installation"))
    received = talk.hear(talk.agreed(), cursor("c2"), now_ns=900)

    assert anew == [{"action": "subscribe", "trades": ["A", "B"], "bars": ["A"], "cursor": True}]
    assert received.messages == [
        Gap("A", 100, 900, "lost", ("trades", "bars")),
        Gap("B", 100, 900, "lost", ("trades",)),
    ]


def test_a_refused_symbol_fails_its_own_change_and_nothing_else(talk: Talk) -> None:
    subscribe(talk, trades=("A",))
    talk.ask(trades=("::",))
    talk.ask(bars=("A",))

    assert talk.said(error(400, "symbol '::'")) != []
    talk.said(error(500, "internal"))

    kinds = [type(outcome) for outcome in talk.outcomes]
    assert kinds == [type(None), SymbolRefused, Refused]
    assert str(talk.outcomes[1]) == "the gateway refused: symbol '::' (code 400)"
    assert talk.conversation.has_subscriptions


def test_a_refused_symbol_beside_an_old_cursor_is_told_apart_from_it() -> None:
    talk = Talk(cursor="old")
    talk.reconnect()
    talk.ask(trades=("::",))

    talk.said(error(400, "symbol '::'"))
    talk.said(error(400, "symbol '::'"))

    assert [type(outcome) for outcome in talk.outcomes] == [SymbolRefused]
    assert talk.ask(trades=("A",))[0]["resume"] == "old"


def test_what_a_refusal_lists_is_not_the_cursor() -> None:
    talk = Talk(cursor="old")
    talk.reconnect()
    talk.ask(trades=("A", "::", "x x"))

    assert talk.said(error(400, "symbol '::'", symbols=["::", "x x"])) == []

    (refused,) = talk.outcomes
    assert isinstance(refused, SymbolRefused)
    assert (refused.symbols, refused.channels) == (("::", "x x"), ())


@pytest.mark.parametrize(
    ("code", "refused", "left"),
    [
        (409, {"symbols": ["B", "C"]}, {"trades": ["A"]}),
        (409, {"channels": ["bars"]}, {"trades": ["A", "B", "C"]}),
        (400, {"symbols": ["A"]}, {"trades": ["B", "C"], "bars": ["B"]}),
    ],
)
def test_what_is_refused_when_the_set_is_restored_costs_the_rest_neither_place_nor_trade(
    talk: Talk, code: int, refused: dict[str, list[str]], left: dict[str, Any]
) -> None:
    subscribe(talk, trades=("A", "B", "C"), bars=("B",))
    talk.hear(cursor("c1"))
    talk.reconnect()

    received = talk.hear(error(code, "no", **refused))

    asked = {"action": "subscribe", **left, "cursor": True, "resume": "c1"}
    assert [msgspec.json.decode(text) for text in received.send] == [asked]
    (problem,) = received.problems
    assert isinstance(problem, SymbolRefused)
    told = {"symbols": list(problem.symbols), "channels": list(problem.channels)}
    assert (problem.code, {name: of for name, of in told.items() if of}) == (code, refused)
    talk.hear({"T": "subscription", **left})
    assert talk.conversation.subscriptions == {name: tuple(of) for name, of in left.items()}


@pytest.mark.parametrize("refused", [{"symbols": ["A"]}, {"channels": ["trades"]}, {}])
def test_a_set_of_which_nothing_is_left_ends_the_stream(
    talk: Talk, refused: dict[str, list[str]]
) -> None:
    subscribe(talk, trades=("A",))
    talk.reconnect()

    with pytest.raises(SymbolRefused):
        talk.hear(error(409, "symbol 'A', channel trades", **refused))


def test_a_set_that_cannot_be_restored_just_now_is_asked_for_on_the_next_connection(
    talk: Talk,
) -> None:
    subscribe(talk, trades=("A",))
    again = talk.reconnect()

    with pytest.raises(NotNow, match=r"please try again .code 500"):
        talk.hear(error(500, "internal error; please try again"))
    assert talk.reconnect() == again


@pytest.mark.parametrize("code", [401, 402])
def test_credentials_that_are_not_accepted_end_the_stream(code: int) -> None:
    talk = Talk()
    talk.reconnect(dict(KEY))

    with pytest.raises(AuthFailed, match=f"auth failed .code {code}") as failed:
        talk.hear(error(code, "auth failed"))
    assert failed.value.code == code


def test_an_ill_formed_login_ends_the_stream() -> None:
    talk = Talk()
    talk.reconnect(dict(KEY))

    with pytest.raises(AuthFailed):
        talk.hear(error(400, "key: expected text"))


def test_a_gateway_that_cannot_tell_whether_a_token_is_good_yet_is_asked_again() -> None:
    talk = Talk()
    talk.reconnect(dict(KEY))

    assert talk.said(error(500, "cannot be read at the moment")) == []
    assert not talk.conversation.is_let_in
    talk.reconnect(dict(KEY))
    assert talk.said(AUTHENTICATED) == []
    assert talk.conversation.is_let_in


def test_a_new_token_that_nobody_can_judge_yet_leaves_the_one_before(talk: Talk) -> None:
    subscribe(talk, trades=("A",))
    talk.conversation.log_in_again(dict(KEY))
    talk.hear(error(500, "cannot be read at the moment"))

    assert talk.conversation.is_let_in
    assert [said["action"] for said in talk.ask(bars=("A",))] == ["subscribe"]


def test_being_let_in_already_is_being_let_in() -> None:
    talk = Talk()
    talk.reconnect(dict(KEY))

    assert talk.said(error(403, "already authenticated")) == []
    assert talk.conversation.is_let_in


def test_a_new_token_is_shown_between_other_requests(talk: Talk) -> None:
    talk.ask(trades=("A",))
    assert talk.conversation.log_in_again(dict(KEY)) == []

    assert talk.agree() == [KEY]
    assert talk.conversation.is_waiting
    talk.said(AUTHENTICATED)
    assert not talk.conversation.is_waiting


@pytest.mark.parametrize("code", [404, 406, 407])
def test_why_the_gateway_ends_a_connection_answers_no_request(talk: Talk, code: int) -> None:
    talk.ask(trades=("A",))

    talk.said(error(code, "slow client"))

    assert talk.outcomes == []
    assert talk.conversation.complaint == f"slow client (code {code})"
    assert [said["trades"] for said in talk.reconnect()] == [["A"]]
    assert talk.conversation.complaint == ""


def test_what_a_request_was_refused_for_is_not_why_a_connection_ends_later(talk: Talk) -> None:
    talk.ask(trades=("::",))

    talk.said(error(400, "symbol '::'"))

    assert talk.conversation.complaint == ""


def test_errors_and_replies_that_nobody_asked_for_change_nothing(talk: Talk) -> None:
    assert talk.said(error(500, "internal")) == []
    assert not talk.conversation.is_waiting


def test_a_gateway_that_takes_a_symbol_away_unasked_is_believed(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"))
    talk.hear({"T": "subscription", "trades": ["B"]}, cursor("c1"))

    assert talk.conversation.subscriptions == {"trades": ("B",)}
    assert talk.reconnect()[0]["trades"] == ["B"]


def told(**names: list[str]) -> dict[str, Any]:
    return {"T": "subscription", **names}


def test_rights_that_end_are_a_problem_by_symbol_and_by_channel(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"), bars=("A", "B"), updatedBars=("B",))

    received = talk.hear(told(trades=["A"]))

    (problem,) = received.problems
    assert isinstance(problem, SymbolRefused)
    assert (problem.code, problem.symbols, problem.channels) == (409, ("B",), ("bars",))
    assert talk.conversation.subscriptions == {"trades": ("A",)}


def test_rights_of_which_nothing_is_left_end_the_stream(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"))

    with pytest.raises(SymbolRefused, match="what this caller may read has changed") as caught:
        talk.hear(told())

    assert (caught.value.symbols, caught.value.channels) == (("A", "B"), ())


def test_what_is_taken_off_has_not_ended_with_a_right(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"))
    talk.ask(adds=False, trades=("A",))

    assert talk.hear(told(trades=["B"])).problems == []
    talk.ask(adds=False, trades=("B",))
    assert talk.hear(told()).problems == []


def test_a_set_that_is_told_unasked_answers_no_change(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"))
    talk.ask(trades=("C",))
    talk.ask(adds=False, trades=("A",))
    talk.outcomes.clear()

    assert talk.said(told(trades=["A"])) == []
    assert talk.outcomes == []
    assert talk.said(told(trades=["A", "C"])) == [{"action": "unsubscribe", "trades": ["A"]}]
    assert talk.said(told(trades=["A"])) == []
    assert talk.outcomes == [None]
    talk.said(told())

    assert talk.outcomes == [None, None]
    assert not talk.conversation.is_waiting


def test_a_refusal_behind_a_set_that_is_told_unasked_is_that_of_the_change(talk: Talk) -> None:
    subscribe(talk, trades=("A", "B"))
    talk.ask(trades=("C",))

    talk.said(told(trades=["B"]), error(409, "not allowed"))

    assert [type(outcome) for outcome in talk.outcomes] == [type(None), SymbolRefused]
    assert talk.conversation.subscriptions == {"trades": ("B",)}


def test_a_set_that_is_told_unasked_lets_nobody_in_and_being_let_in_answers_no_change(
    talk: Talk,
) -> None:
    subscribe(talk, trades=("A", "B"))
    talk.conversation.log_in_again(dict(KEY))

    talk.said(told(trades=["B"]))
    assert not talk.conversation.is_let_in
    talk.said(AUTHENTICATED)
    assert talk.conversation.is_let_in
    talk.ask(trades=("C",))
    talk.said(AUTHENTICATED)
    assert talk.conversation.is_waiting


def test_a_change_that_nobody_waits_for_is_not_asked_any_more(talk: Talk) -> None:
    first, (request,) = talk.put(True, False, {"trades": ("A",)})
    second, _ = talk.put(True, False, {"trades": ("B",)})

    for ask in (first, second, second):
        talk.conversation.withdraw(ask)

    agreed = {"T": "subscription", "trades": ["A"]}
    assert "trades" in str(request)
    assert talk.said(agreed) == []  # the first was sent: its outcome holds
    assert talk.conversation.has_subscriptions


def test_changes_that_wait_fail_with_the_stream(talk: Talk) -> None:
    talk.ask(trades=("A",))
    closed = StreamClosed()

    talk.conversation.fail(closed)

    assert talk.outcomes == [closed]


def test_a_snapshot_is_asked_for_with_its_own_change_only(talk: Talk) -> None:
    assert talk.ask(trades=("A",), snapshot=True)[0]["snapshot"] is True
    talk.agree(cursor("c1"))

    assert "snapshot" not in talk.reconnect()[0]
