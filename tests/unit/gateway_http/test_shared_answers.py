"""Answers of other gateways: who finds none asks less often."""

from collections import Counter

from gateway.changes import Changes
from gateway.http.shared_answers import SharedAnswers
from storage.entry_id import EntryId
from storage.keys import StreamKeys
from storage.redis import Redis, connect


class Replies:
    """What is found under each key; counts who asks."""

    def __init__(self) -> None:
        self.asked, self.value = 0, None

    async def get(self, key: str) -> bytes | None:
        self.asked += 1
        return self.value


def shared(redis: Redis, outcomes: Counter[str], replies: Replies) -> SharedAnswers:
    changes = Changes(1, settle_ns=0)
    changes.begin({0: EntryId(1, 0)})
    changes.hear({0: 10})
    found = SharedAnswers(
        redis=redis,
        keys=StreamKeys("test", 1),
        changes=changes,
        version="1",
        now_ns=lambda: 10,
        monotonic_ns=lambda: 10,
        on_lookup=lambda outcome: outcomes.update([outcome]),
        max_bytes=1 << 20,
    )
    found._lookups = replies  # type: ignore[assignment]
    return found


async def test_where_a_thousand_questions_found_nothing_one_of_eight_is_asked() -> None:
    outcomes, replies = Counter[str](), Replies()
    redis = connect("redis://127.0.0.1:1")
    answers = shared(redis, outcomes, replies)

    for n in range(1_800):
        assert await answers.find([str(n)], 0) is None

    assert outcomes == {"load": 1_100, "unlikely": 700}
    assert replies.asked == 1_100

    replies.value = b"not of this version"
    for n in range(8):
        await answers.find([str(n)], 0)
    replies.value = None
    for n in range(1_000):
        await answers.find([str(n)], 0)

    assert replies.asked == 1_100 + 1 + 1_000
    await redis.aclose()


async def test_a_header_that_is_no_utf_8_names_an_answer_too() -> None:
    outcomes, replies = Counter[str](), Replies()
    redis = connect("redis://127.0.0.1:1")
    answers = shared(redis, outcomes, replies)

    accept = b"\xff/\xfe".decode(errors="surrogateescape")
    assert await answers.find(["/v1/bars", accept], 0) is None

    assert outcomes == {"load": 1}
    await redis.aclose()
