"""What the page draws in a frame: each work once, also what another work asks for meanwhile."""

from tests.node import evaluate

_BY_HAND = """
const frames = [];
const asked = [];
globalThis.requestAnimationFrame = (draw) => { frames.push(draw); asked.push("frame"); };
globalThis.setTimeout = (draw) => { frames.push(draw); asked.push("at once"); };
globalThis.document = { hidden: false };
let clockMs = 0;
performance.now = () => clockMs;
const next = (nowMs) => { clockMs = nowMs; frames.shift()(nowMs); };
const drawn = [];
"""


def test_what_a_work_asks_for_is_drawn_in_the_same_frame_and_itself_in_the_next() -> None:
    found = evaluate(
        _BY_HAND
        + """
        const list = page.perFrame((nowMs) => drawn.push(`list ${nowMs}`));
        const all = page.perFrame((nowMs) => {
          drawn.push(`all ${nowMs}`);
          list();
          list();
          if (nowMs === 1) all();
        });
        all();
        all();
        next(1);
        next(2);
        tell({ asked, left: frames.length, drawn });
        """,
        page="frames.js",
    )

    assert found == {
        "asked": ["at once", "frame"],
        "left": 0,
        "drawn": ["all 1", "list 1", "all 2", "list 2"],
    }


def test_frames_are_waited_for_soon_after_another_and_where_nobody_looks() -> None:
    found = evaluate(
        _BY_HAND
        + """
        const work = page.perFrame((nowMs) => drawn.push(nowMs));
        for (const nowMs of [100, 129, 159, 200]) {
          clockMs = nowMs;
          document.hidden = nowMs === 200;
          work();
          next(nowMs);
        }
        tell({ asked, drawn });
        """,
        page="frames.js",
    )

    assert found["asked"] == ["at once", "frame", "at once", "frame"]
    assert found["drawn"] == [100, 129, 159, 200]


def test_a_work_that_fails_stops_no_other_for_long() -> None:
    found = evaluate(
        _BY_HAND
        + """
        const broken = page.perFrame(() => { throw new Error("no"); });
        const sound = page.perFrame((nowMs) => drawn.push(nowMs));
        broken();
        sound();
        let said = "";
        try { next(1); } catch (error) { said = error.message; }
        next(2);
        tell({ said, drawn, left: frames.length });
        """,
        page="frames.js",
    )

    assert found == {"said": "no", "drawn": [2], "left": 0}
