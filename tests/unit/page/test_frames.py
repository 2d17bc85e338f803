"""What the page draws in a frame: each work once, also what another work asks for meanwhile."""

from tests.node import evaluate

_BY_HAND = """
const frames = [];
globalThis.requestAnimationFrame = (draw) => frames.push(draw);
const next = (nowMs) => frames.shift()(nowMs);
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
        const asked = frames.length;
        next(1);
        const again = frames.length;
        next(2);
        tell({ asked, again, after: frames.length, drawn });
        """,
        page="frames.js",
    )

    assert found == {
        "asked": 1,
        "again": 1,
        "after": 0,
        "drawn": ["all 1", "list 1", "all 2", "list 2"],
    }


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
