"""A chart of bars as SVG, drawn by hand: no library, the same on any machine. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _LABELS, _VALUES = 860, 250, 150  # pixels: all, and beside the bars left and right
_BAR, _STEP, _HEAD, _GAP, _MARGIN = 16, 26, 44, 26, 20
_INK, _PAPER, _SOFT = "#1f2328", "#ffffff", "#59636e"
_OURS, _OTHERS, _FLOOR = "#0969da", "#8c959f", "#2da44e"
_FAINT = 0.55  # opacity of a bar's second part


@dataclass(frozen=True)
class Bar:
    """``parts`` stack up to the bar's length; ``value`` is what is written behind it."""

    label: str
    parts: tuple[float, ...]
    value: str
    kind: str = ""  # "ours" and "floor" have colours of their own


@dataclass(frozen=True)
class Panel:
    """Bars under one heading, on one linear scale from zero."""

    title: str
    note: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        return _HEAD + _STEP * len(self.bars)


def draw(panels: Sequence[Panel], *, title: str) -> str:
    """One picture, panels from top to bottom; it brings its own white ground, for dark pages."""
    height = 2 * _MARGIN + sum(panel.height for panel in panels) + _GAP * (len(panels) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" '
        f'font-size="13" fill="{_INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="{_PAPER}"/>',
    ]
    top = _MARGIN
    for panel in panels:
        parts += _panel(panel, top)
        top += panel.height + _GAP
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    longest = max((sum(bar.parts) for bar in panel.bars), default=0.0) or 1.0
    scale = (_WIDTH - _LABELS - _VALUES - 2 * _MARGIN) / longest
    lines = [
        f'<text x="{_MARGIN}" y="{top + 12}" font-weight="600" font-size="15">'
        f"{escape(panel.title)}</text>",
        f'<text x="{_MARGIN}" y="{top + 30}" fill="{_SOFT}">{escape(panel.note)}</text>',
    ]
    for place, bar in enumerate(panel.bars):
        lines += _bar(bar, top + _HEAD + place * _STEP, scale)
    return lines


def _bar(bar: Bar, y: int, scale: float) -> list[str]:
    left = float(_MARGIN + _LABELS)
    colour = {"ours": _OURS, "floor": _FLOOR}.get(bar.kind, _OTHERS)
    weight = ' font-weight="600"' if bar.kind == "ours" else ""
    lines = [
        f'<text x="{left - 8:.0f}" y="{y + 12}" text-anchor="end"{weight}>'
        f"{escape(bar.label)}</text>"
    ]
    for place, part in enumerate(bar.parts):
        opacity = f' fill-opacity="{_FAINT}"' if place else ""
        lines.append(
            f'<rect x="{left:.1f}" y="{y}" width="{part * scale:.1f}" height="{_BAR}" '
            f'fill="{colour}"{opacity}/>'
        )
        left += part * scale
    lines.append(f'<text x="{left + 6:.1f}" y="{y + 12}"{weight}>{escape(bar.value)}</text>')
    return lines
