"""Who is let in: the guard, the way in for HTTP requests, proxies and pages of other origins."""

import asyncio
import hashlib
from typing import Any

import pytest

from core.market.timeframe import SECOND_NS
from gateway.access.addresses import counted_as
from gateway.access.admission import Access, Admission, is_open
from gateway.access.cors import Cors
from gateway.access.credentials import Shown, ShownKey, ShownToken
from gateway.access.entitlement import Entitlement
from gateway.access.grant import ANYBODY, Caller
from gateway.access.guard import Guard, NotYet, Refusal, Unsure, Verdict
from gateway.access.keyring import KeyRecord, Keyring
from gateway.access.proxies import FORWARDED, X_FORWARDED_FOR, Proxies, ProxyError
from gateway.access.rates import Rates
from gateway.access.tokens import TokenRules, Tokens, parse_keys, secret_key
from gateway.http.errors import ApiError
from gateway.origins import Origins
from gateway.tally import KEY_WORDS, Layout, Tally
from tests.tokens import SECRET, Issuer

START_NS = 1_700_000_040 * SECOND_NS  # a whole minute
ALICE = ShownKey("alice", "hush")


def ring(**callers: Caller) -> Keyring:
    """Each has the secret `hush`."""
    digest = hashlib.sha256(b"hush").digest()
    return Keyring({name: KeyRecord(digest, caller) for name, caller in callers.items()})


def caller(key_id: str = "alice", **fields: Any) -> Caller:
    return Caller(key_id=key_id, **fields)


class Bench:
    """A clock, and guards that go by it."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        layout = Layout(1, buckets=16)
        words = memoryview(bytearray(8 * layout.words)).cast("Q")
        words[:KEY_WORDS] = memoryview(b"s" * 8 * KEY_WORDS).cast("Q")
        self.tally = Tally(words, layout, 0)

    def guard(self, fixed: Keyring | None = None, **options: Any) -> Guard:
        return Guard(
            fixed=fixed or Keyring(),
            tally=self.tally,
            now_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
            **options,
        )

    def access(self, guard: Guard, **options: Any) -> Access:
        rates = Rates(
            None, self.tally, now_ns=lambda: self.now_ns, monotonic_ns=lambda: self.now_ns
        )
        return Access(guard, rates=rates, **options)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def refusal(found: Verdict) -> str:
    assert isinstance(found, Refusal)
    return found.reason


def test_while_no_key_is_known_anybody_is_let_in(bench: Bench) -> None:
    guard = bench.guard()

    assert not guard.required
    assert guard.judge(None, "a") is ANYBODY
    assert guard.judge(ALICE, "a") is ANYBODY
    assert guard.renewed(ANYBODY) is ANYBODY


def test_nobody_is_let_in_without_credentials_where_that_is_asked_for(bench: Bench) -> None:
    guard = bench.guard(always=True)

    assert "no API key" in refusal(guard.judge(None, "a"))
    assert "unknown" in refusal(guard.judge(ALICE, "a"))


def test_once_a_key_was_stored_keys_are_asked_for_for_good(bench: Bench) -> None:
    guard = bench.guard()

    guard.store(Keyring())
    assert not guard.required
    guard.require()
    assert guard.judge(ALICE, "a") == NotYet("the API keys cannot be read at the moment")
    guard.store(ring(alice=caller()))
    assert guard.judge(ALICE, "a") == caller()
    guard.require()
    assert guard.judge(ALICE, "a") == caller()
    guard.store(Keyring())

    assert guard.required
    assert "unknown" in refusal(guard.judge(ALICE, "a"))


def test_a_key_of_the_settings_goes_before_one_of_its_name_in_the_database(bench: Bench) -> None:
    guard = bench.guard(ring(alice=caller()))
    guard.require()
    guard.store(ring(alice=caller(symbols=Entitlement(["X:A"])), bob=caller("bob")))

    assert guard.judge(ALICE, "a") == caller()
    assert guard.renewed(caller()) == caller()
    assert guard.judge(ShownKey("bob", "hush"), "a") == caller("bob")
    assert guard.renewed(caller("bob")) == caller("bob")


def test_a_key_is_good_until_it_expires_also_where_it_was_right_just_now(bench: Bench) -> None:
    brief = caller(expires_ns=START_NS + 60 * SECOND_NS)
    guard = bench.guard(ring(alice=brief))

    assert guard.judge(ALICE, "a") == brief
    assert guard.renewed(brief) == brief
    bench.now_ns += 60 * SECOND_NS

    assert "expired" in refusal(guard.judge(ALICE, "a"))
    assert guard.renewed(brief) is None


def test_who_was_let_in_unasked_is_nobody_once_keys_are_asked_for(bench: Bench) -> None:
    guard = bench.guard(ring(alice=caller()))

    assert guard.renewed(ANYBODY) is None
    assert guard.renewed(caller("carol")) is None


def test_too_many_failures_end_all_but_what_was_right_lately(bench: Bench) -> None:
    guard = bench.guard(ring(alice=caller(), bob=caller("bob")), failures_per_minute=2)
    assert guard.judge(ALICE, "a") == caller()
    for _ in range(2):
        assert "wrong secret" in refusal(guard.judge(ShownKey("alice", "no"), "a"))

    limited = guard.judge(ShownKey("bob", "hush"), "a")
    renewed = guard.judge(ShownKey("bob", "hush"), "a", is_in=True)
    elsewhere = guard.judge(ShownKey("bob", "hush"), "b")
    known = guard.judge(ALICE, "a")
    bench.now_ns += 60 * SECOND_NS
    later = guard.judge(ShownKey("bob", "hush"), "a")

    assert limited == Refusal("too many failed attempts from this address", 60)
    assert renewed == elsewhere == later == caller("bob")
    assert known == caller()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("64:ff9b::c633:6407", "64:ff9b::c633:6407"),  # one of IPv4, translated
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fd00:1:2:3::4", "fd00:1:2:3::/64"),
        ("fe80::7%eth0", "fe80::7"),
        ("::1", "::1"),
        ("", ""),
        ("what:is:this", "what:is:this"),
    ],
)
def test_of_ipv6_a_network_of_64_bits_counts_as_one(address: str, counted: str) -> None:
    assert counted_as(address) == counted


def test_who_takes_another_address_of_its_network_is_the_same(bench: Bench) -> None:
    guard = bench.guard(ring(alice=caller()), failures_per_minute=2)
    access = bench.access(guard, per_address=2)
    wrong = ShownKey("alice", "no")
    for host in range(2):
        guard.judge(wrong, f"2001:db8::{host}")
        assert status(access, {}, remote=f"2001:db8::{host}") == 401

    assert guard.judge(ALICE, "2001:db8::a:b:c:d") == Refusal(
        "too many failed attempts from this network (2001:db8::/64)", 60
    )
    assert status(access, {}, remote="2001:db8::a:b:c:d") == 429
    assert guard.judge(ALICE, "2001:db8:0:1::1") == caller()
    assert status(access, {}, remote="2001:db8:0:1::1") == 401


def test_what_was_right_in_one_worker_or_before_the_keys_changed_is_looked_at(
    bench: Bench,
) -> None:
    layout = Layout(2, buckets=16)
    words = memoryview(bytearray(8 * layout.words)).cast("Q")
    workers = []
    for region in range(2):
        bench.tally = Tally(words, layout, region)
        workers.append(bench.guard(always=True, failures_per_minute=1))
        workers[-1].require()
        workers[-1].store(ring(alice=caller(), bob=caller("bob")))
    one, other = workers
    assert one.judge(ALICE, "a") == caller()
    one.judge(ShownKey("alice", "no"), "a")

    one.require()
    one.store(ring(alice=caller(), bob=caller("bob"), carol=caller("carol")))

    for worker in (one, other):
        assert worker.judge(ALICE, "a") == caller()
        assert "too many" in refusal(worker.judge(ShownKey("bob", "hush"), "a"))
        assert "too many" in refusal(worker.judge(ShownKey("alice", "no"), "a"))


def test_what_was_right_until_it_expired_is_no_wrong_attempt(bench: Bench, issuer: Issuer) -> None:
    end_s = START_NS // SECOND_NS + 60
    tokens = Tokens(TokenRules(leeway_s=0))
    tokens.accept(parse_keys(issuer.jwks("ES256"), may_be_secret=False))
    brief = caller(expires_ns=end_s * SECOND_NS)
    guard = bench.guard(ring(alice=brief), tokens=tokens, failures_per_minute=1)
    one, other = ShownToken(issuer.token(end_s)), ShownToken(issuer.token(end_s, sub="bob"))
    assert isinstance(guard.judge(one, "a"), Caller)
    bench.now_ns += 60 * SECOND_NS

    ended = ShownToken(issuer.token(0))
    for shown in (one, one, other, other, ended, ended, ALICE, ALICE):  # some were never seen
        assert "expired" in refusal(guard.judge(shown, "a"))

    assert isinstance(guard.judge(ShownToken(issuer.token(end_s + 60)), "a"), Caller)


def test_until_the_keys_of_the_database_are_read_none_is_a_wrong_one(bench: Bench) -> None:
    guard = bench.guard(
        ring(bob=caller("bob")), always=True, awaits_stored=True, failures_per_minute=1
    )
    access, shown = bench.access(guard), {"authorization": "Bearer alice:hush"}

    assert guard.judge(ALICE, "a") == NotYet("the API keys cannot be read at the moment")
    for _ in range(2):
        with pytest.raises(ApiError, match="cannot be read at the moment; try again") as caught:
            access.admit(shown, "/v1/bars", "a")
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "5"})
    assert guard.judge(ShownKey("bob", "hush"), "a") == caller("bob")
    guard.require()
    guard.store(ring(alice=caller()))

    assert guard.judge(ALICE, "a") == caller()
    assert refusal(guard.judge(ShownKey("carol", "hush"), "a")).startswith("unknown API key")


def test_only_so_many_credentials_are_remembered(bench: Bench) -> None:
    callers = {f"k{number}": caller(f"k{number}") for number in range(10_001)}
    guard = bench.guard(ring(**callers))

    for name in callers:
        guard.judge(ShownKey(name, "hush"), "a")

    assert len(guard._known) == len(guard._right) == 10_000


def test_tokens_are_refused_where_none_are_accepted(bench: Bench) -> None:
    guard = bench.guard(ring(alice=caller()))

    assert "not accepted" in refusal(guard.judge(ShownToken("a.b.c"), "a"))


def test_a_token_is_judged_by_its_keys(bench: Bench, issuer: Issuer) -> None:
    tokens = Tokens(TokenRules(leeway_s=0))
    guard = bench.guard(tokens=tokens)
    shown = ShownToken(issuer.token(START_NS // SECOND_NS + 60))

    unknown = guard.judge(shown, "a")
    tokens.accept(parse_keys(issuer.jwks("ES256"), may_be_secret=False))
    guard.forget()
    found = guard.judge(shown, "a")

    assert guard.required
    assert unknown == Unsure("es256")
    assert isinstance(found, Caller)
    assert guard.renewed(found) == found
    assert "refused" in refusal(guard.judge(ShownToken("a.b.c"), "a"))
    bench.now_ns += 61 * SECOND_NS
    assert "expired" in refusal(guard.judge(shown, "a"))
    assert guard.renewed(found) is None


BEARER = {"authorization": "Bearer alice:hush"}


def status(
    access: Access, headers: dict[str, str], path: str = "/v1/symbols", *, remote: str = "a"
) -> int:
    try:
        admission = access.admit(headers, path, remote)
    except ApiError as error:
        return error.status
    return 200 if admission is not None else 0


async def slow_status(access: Access, headers: dict[str, str], path: str = "/v1/bars") -> int:
    try:
        await access.admit_slowly(headers, path, "a")
    except ApiError as error:
        return error.status
    return 200


def test_without_keys_every_request_is_let_in_without_a_limit(bench: Bench) -> None:
    access = bench.access(bench.guard())

    assert access.admit({}, "/v1/bars", "a") == Admission(ANYBODY, {})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", True),
        ("/livez", True),
        ("/static/page.js", True),
        ("/static/../v1/bars", False),
        ("/v1/stream", True),
        ("/v2/iex", True),
        ("/v1beta3/crypto/us", True),
        ("/v1beta3/crypto/us?x/bars", False),  # as /v1beta3/crypto/us%3Fx/bars is routed
        ("/v1beta3/crypto/us?", False),
        ("/openapi.json", True),
        ("/v1/status", False),
        ("/v2/stocks/bars", False),
        ("/metrics", False),
        ("//", False),
    ],
)
def test_the_page_the_probes_and_the_streams_are_open(target: str, expected: bool) -> None:
    assert is_open(target) is expected


def test_requests_are_let_in_by_key_and_counted(bench: Bench) -> None:
    access = bench.access(bench.guard(ring(alice=caller(requests_per_minute=1))))

    first = access.admit(BEARER, "/v1/symbols", "a")
    assert first is not None
    assert first.caller.key_id == "alice"
    assert first.headers["X-RateLimit-Remaining"] == "0"
    with pytest.raises(ApiError, match="more than 1 requests") as caught:
        access.admit(BEARER, "/v1/symbols", "a")

    assert caught.value.status == 429
    assert caught.value.headers["Retry-After"] == "60"
    assert caught.value.headers["X-RateLimit-Reset"] == str(START_NS // SECOND_NS + 60)


async def test_a_caller_without_a_limit_is_told_of_none(bench: Bench) -> None:
    access = bench.access(bench.guard(ring(alice=caller())))

    assert access.admit(BEARER, "/v1/symbols", "a") == Admission(caller(), {})
    assert await access.admit_slowly(BEARER, "/v1/symbols", "a") == Admission(caller(), {})


@pytest.mark.parametrize(
    ("mode", "scheme"), [(None, "Basic"), ("navigate", "Basic"), ("cors", "Bearer")]
)
def test_a_browser_asks_its_user_only_where_the_user_went_there(
    bench: Bench, mode: str | None, scheme: str
) -> None:
    access = bench.access(bench.guard(always=True))
    headers = {} if mode is None else {"sec-fetch-mode": mode}

    with pytest.raises(ApiError) as caught:
        access.admit(headers, "/v1/symbols", "a")

    assert caught.value.headers["WWW-Authenticate"].startswith(scheme)


def told(access: Access, headers: dict[str, str]) -> tuple[int, str | None, str | None, str | None]:
    """The status of a refusal, the limit that it tells, what is left of it, and when to come."""
    with pytest.raises(ApiError) as caught:
        access.admit(headers, "/v1/symbols", "a")
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "Retry-After")
    limit, left, wait = (caught.value.headers.get(name) for name in names)
    return caught.value.status, limit, left, wait


def test_who_shows_nothing_has_a_limit_per_address(bench: Bench) -> None:
    access = bench.access(bench.guard(always=True), per_address=2)

    assert [told(access, {}) for _ in range(3)] == [
        (401, "2", "1", None),
        (401, "2", "0", None),
        (429, "2", "0", "60"),
    ]
    assert status(access, {}, "/livez") == 200


async def test_who_fails_too_often_is_told_when_to_come_back(bench: Bench) -> None:
    access = bench.access(bench.guard(always=True, failures_per_minute=1))

    assert [told(access, BEARER) for _ in range(2)] == [
        (401, None, None, None),
        (429, "1", "0", "60"),
    ]
    assert await slow_status(access, BEARER) == 429


async def test_a_key_that_may_read_a_part_reads_no_more(bench: Bench) -> None:
    part = caller(symbols=Entitlement(["SIM:*"]), channels=frozenset({"bars"}))
    whole = caller("bob", channels=frozenset({"trades"}))
    access = bench.access(bench.guard(ring(alice=part, bob=whole)))
    bob = {"authorization": "Bearer bob:hush"}

    assert status(access, BEARER, "/metrics") == 403
    assert status(access, bob, "/metrics") == 200
    assert status(access, BEARER, "/v1/bars") == 200
    assert status(access, BEARER, "/v1/trades/latest") == 403
    assert await slow_status(access, bob, "/v1/bars") == 403
    assert status(access, bob, "/v1/trades/latest") == 200


async def test_a_request_for_what_a_key_may_not_read_counts(bench: Bench) -> None:
    bars = caller(channels=frozenset({"bars"}), requests_per_minute=2)
    access = bench.access(bench.guard(ring(alice=bars)))

    with pytest.raises(ApiError, match="'/v1/trades' is for keys that may read trades") as caught:
        access.admit(BEARER, "/v1/trades", "a")

    assert caught.value.headers["X-RateLimit-Remaining"] == "1"
    assert await slow_status(access, BEARER, "/v1/trades") == 403
    assert status(access, BEARER, "/v1/trades") == 429


async def test_a_tokens_key_is_looked_for_before_the_token_is_refused(
    bench: Bench, issuer: Issuer
) -> None:
    tokens = Tokens(TokenRules(requests_per_minute=10))
    guard, asked = bench.guard(tokens=tokens), list[str]()

    async def look_for(key_id: str) -> bool:
        asked.append(key_id)
        tokens.accept(parse_keys(issuer.jwks("ES256"), may_be_secret=False))
        return True

    access = bench.access(guard, look_for=look_for)
    end_s = START_NS // SECOND_NS + 60
    good = {"authorization": f"Bearer {issuer.token(end_s)}"}
    made_up = {"authorization": f"Bearer {issuer.token(end_s, kid='made up')}"}

    assert access.admit(good, "/v1/bars", "a") is None
    async with asyncio.timeout(5):
        found = await access.admit_slowly(good, "/v1/bars", "a")
        refused = await slow_status(access, made_up)

    assert found.caller.key_id == "token:alice"
    assert found.headers["X-RateLimit-Limit"] == "10"
    assert refused == 401
    assert asked == ["es256", "made up"]


async def test_while_keys_cannot_be_read_a_token_is_a_503_and_no_wrong_attempt(
    bench: Bench, issuer: Issuer
) -> None:
    tokens = Tokens(TokenRules(), fixed=secret_key(SECRET))
    guard = bench.guard(tokens=tokens, failures_per_minute=2)

    async def look_for(key_id: str) -> bool:
        return False

    access, end_s = bench.access(guard, look_for=look_for), START_NS // SECOND_NS + 60
    unknown = {"authorization": f"Bearer {issuer.token(end_s)}"}
    known = {"authorization": f"Bearer {issuer.token(end_s, algorithm='HS256')}"}
    wrong = {"authorization": "Bearer alice:wrong"}

    for _ in range(3):
        with pytest.raises(ApiError, match="cannot be read at the moment; try again") as caught:
            await access.admit_slowly(unknown, "/v1/bars", "a")
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "5"})

    assert status(access, known) == 200
    assert status(access, wrong) == 401


def test_where_keys_cannot_be_fetched_an_unknown_one_is_wrong(bench: Bench, issuer: Issuer) -> None:
    guard = bench.guard(tokens=Tokens(TokenRules(), fixed=secret_key(SECRET)))
    access = bench.access(guard)
    token = issuer.token(START_NS // SECOND_NS + 60)

    assert status(access, {"authorization": f"Bearer {token}"}) == 401


class Lines:
    """Headers that tell all lines of a name, as aiohttp's and websockets' do."""

    def __init__(self, name: str, *lines: str) -> None:
        self._name, self._lines = name, lines

    def __contains__(self, name: str) -> bool:
        return name == self._name

    def getall(self, name: str) -> list[str]:
        assert name == self._name
        return list(self._lines)


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the first is made up
        ("10.0.0.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "nonsense, 10.1.2.3", "10.1.2.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # no proxy of ours
        ("", "203.0.113.9", ""),
    ],
)
def test_a_proxy_is_believed_as_far_as_it_is_trusted(peer: str, said: str, client: str) -> None:
    proxies = Proxies(["10.0.0.0/8, ::1"])

    assert proxies.client(peer, {"x-forwarded-for": said}) == client


def test_a_line_that_the_proxy_has_added_counts_more_than_the_clients(bench: Bench) -> None:
    proxies = Proxies(["10.0.0.0/8"])
    lines: Any = Lines("x-forwarded-for", "203.0.113.9", "198.51.100.7")

    assert proxies.client("10.0.0.1", lines) == "198.51.100.7"
    assert proxies.client("10.0.0.1", Lines("other")) == "10.0.0.1"  # type: ignore[arg-type]
    assert proxies.client("10.0.0.1", {}) == "10.0.0.1"
    assert len(proxies) == 1


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('For="[2001:db8::7]:4711";proto=https', "2001:db8::7"),
        ("for=203.0.113.9, proto=https;for=198.51.100.7;by=10.0.0.1", "198.51.100.7"),
        ("for=unknown", "10.0.0.1"),
        ("by=10.0.0.1", "10.0.0.1"),
        # What the client chose of its own name, and a proxy passed on in quotes, is no address.
        ('for=198.51.100.7;host="a,for=203.0.113.9"', "198.51.100.7"),
        ('host="a;for=203.0.113.9";for=198.51.100.7', "198.51.100.7"),
        (r'for=198.51.100.7;host="a\",for=203.0.113.9;b=\"c"', "198.51.100.7"),
        ('for="203.0.113.9, for=198.51.100.7;proto=https', "198.51.100.7"),
        ('x=", for="[2001:db8::7]";proto="https"', "2001:db8::7"),
        ('for="203.0.113.9, by=10.0.0.1', "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_where_it_is_chosen(said: str, client: str) -> None:
    proxies = Proxies(["10.0.0.0/8"], header=FORWARDED)

    assert proxies.client("10.0.0.1", {"forwarded": said, "x-forwarded-for": "1.1.1.1"}) == client


@pytest.mark.parametrize("header", [FORWARDED, X_FORWARDED_FOR])
def test_of_a_chain_without_end_the_last_hops_are_read(header: str) -> None:
    proxies = Proxies(["10.0.0.0/8"], header=header)
    beginning = "for=" if header == FORWARDED else ""
    said = ",".join(f"{beginning}{hop}" for hop in ["203.0.113.9", *["10.0.0.2"] * 20])

    assert proxies.client("10.0.0.1", {header: said}) == "10.0.0.2"


def test_each_proxy_may_write_a_line_of_its_own() -> None:
    proxies = Proxies(["10.0.0.0/8"], header=FORWARDED)
    lines: Any = Lines(FORWARDED, 'for="203.0.113.9', "for=198.51.100.7", "for=10.1.2.3")

    assert proxies.client("10.0.0.1", lines) == "198.51.100.7"


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert Proxies().client("10.0.0.1", {"x-forwarded-for": "1.1.1.1"}) == "10.0.0.1"


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ProxyError, match=r"10\.0\.0\.0/8") as caught:
        Proxies(["10.0.0.1/8"])

    assert caught.value.given == "10.0.0.1/8"


def test_pages_of_the_settings_may_read_answers() -> None:
    cors = Cors(Origins(["https://desk.example.com"]))

    allowed = cors.headers({"origin": "https://desk.example.com"})
    foreign = cors.headers({"origin": "https://evil.example.com"})

    assert allowed["Access-Control-Allow-Origin"] == "https://desk.example.com"
    assert "X-RateLimit-Remaining" in allowed["Access-Control-Expose-Headers"]
    assert foreign == cors.headers({}) == {"Vary": "Origin"}
    assert Cors(Origins()).headers({"origin": "https://desk.example.com"}) == {}
    everywhere = Cors(Origins(["*"])).headers({"origin": "https://any.example.com"})
    assert everywhere["Access-Control-Allow-Origin"] == "*"


def test_browsers_that_ask_whether_they_may_ask_are_told() -> None:
    cors = Cors(Origins(["https://desk.example.com"]))
    asks = {"access-control-request-method": "GET"}

    may = cors.preflight("OPTIONS", {**asks, "origin": "https://desk.example.com"})
    may_not = cors.preflight("OPTIONS", {**asks, "origin": "https://evil.example.com"})

    assert may is not None
    assert "Authorization" in may["Access-Control-Allow-Headers"]
    assert may_not == {"Vary": "Origin"}
    assert cors.preflight("GET", asks) is None
    assert cors.preflight("OPTIONS", {}) is None


def test_what_is_shown_is_told_apart_without_being_kept(bench: Bench) -> None:
    shown: list[Shown] = [ALICE, ShownToken("a.b.c")]

    marks = {Guard._mark(one) for one in shown}

    assert len(marks) == 2
    assert all(len(mark) == 32 for mark in marks)
