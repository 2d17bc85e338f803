import pytest

from loadtest.messages import StreamError, Trade, is_greeting, trades_of

TRADE = '{"T":"t","S":"SIM:S001","p":1.5,"s":2,"t":"2026-01-02T03:04:05.123456Z","i":7,"tks":"B"}'


def test_a_batch_gives_its_trades_in_order_and_skips_the_rest() -> None:
    later = TRADE.replace('"i":7', '"i":8')

    trades = trades_of(f'[{TRADE},{{"T":"b","S":"SIM:S001","o":1}},{later}]')

    assert trades == [
        Trade("SIM:S001", 7, 1767323045_123456000),
        Trade("SIM:S001", 8, 1767323045_123456000),
    ]


@pytest.mark.parametrize(
    "frame",
    [
        '[{"T":"hb","t":"2026-01-02T03:04:05Z","feeds":{"sim":"2026-01-02T03:04:05.1Z","x":null}}]',
        '[{"T":"stale","feed":"sim","venue":"SIM","stale":true,"t":null,"since":"2026-01-02T03:04Z"}]',
        '[{"T":"shutdown","msg":"reconnect","within_s":5}]',
    ],
)
def test_what_the_gateway_says_of_itself_is_no_trade(frame: str) -> None:
    assert trades_of(frame) == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ('{"T":"t"}', "not an array of messages"),
        ("[", "not an array of messages"),
        ('[{"T":"error","code":407,"msg":"slow client"}]', "the server answered 407 slow client"),
        (TRADE.replace('"i":7,', "").join("[]"), "a trade of SIM:S001 without an id or a time"),
    ],
)
def test_what_is_not_in_the_protocol_is_an_error(frame: str, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        trades_of(frame)


def test_only_the_greeting_is_a_greeting() -> None:
    assert is_greeting('[{"T":"success","msg":"connected"}]')
    assert not is_greeting('[{"T":"success","msg":"authenticated"}]')
    assert not is_greeting("hello")
