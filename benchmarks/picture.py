"""
The table's comparison as a drawing: how many times better than Rust, for each metric that has a goal.
"""

from __future__ import annotations

from html import escape
from math import log2

from report import METRICS, Metric, Results

_WIDTH, _LEFT, _ROW, _TOP = 900, 330, 34, 64
_COLOURS = {"ours": "#1f6f8b", "ssh": "#b9a06a"}
_LEAST, _MOST = -3.0, 3.0
"""The ends of the scale: eight times worse and eight times better."""


def _better(results: Results, metric: Metric, topology: str) -> float | None:
    quotient = results.quotient(metric.key, topology, "rust")
    return None if quotient is None else quotient if metric.rising else 1 / quotient


def _x(better: float) -> float:
    at = min(max(log2(better), _LEAST), _MOST)
    return _LEFT + (_WIDTH - _LEFT - 70) * (at - _LEAST) / (_MOST - _LEAST)


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 13, colour: str = "#222") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
    )


def drawing(results: Results) -> str:
    """
    An SVG. Bars begin at Rust, go to the right where the other is better, and the short strokes are the goals.

    @param results: with the topologies rust and ours; ssh is drawn too if it was measured.
    """
    rows = [metric for metric in METRICS if metric.goal is not None and _better(results, metric, "ours") is not None]
    names = [name for name in _COLOURS if any(_better(results, metric, name) is not None for metric in rows)]
    height = _TOP + _ROW * len(rows) + 24
    one = _x(1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(12, 22, "Times better than the Rust implementation, in the same run", size=15),
    ]
    for number, name in enumerate(names):
        x = _LEFT + 190 + 90 * number
        parts.append(f'<rect x="{x}" y="11" width="12" height="12" fill="{_COLOURS[name]}"/>' + _text(x + 18, 22, name))
    parts.append(_text(_LEFT + 390, 22, "| goal", colour="#c0392b"))
    for power in range(int(_LEAST), int(_MOST) + 1):
        x = _x(2.0**power)
        label = f"{2**power}" if power >= 0 else f"1/{2**-power}"
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{height - 16}" '
            f'stroke="{"#555" if power == 0 else "#ddd"}"/>' + _text(x, _TOP - 14, label, "middle", 11, "#666")
        )
    for number, metric in enumerate(rows):
        y = _TOP + _ROW * number
        parts.append(_text(_LEFT - 12, y + 17, metric.label, "end"))
        thick = (_ROW - 10) / len(names)
        for place, name in enumerate(names):
            better = _better(results, metric, name)
            if better is None:
                continue
            x, top = _x(better), y + thick * place
            parts.append(
                f'<rect x="{min(x, one):.1f}" y="{top:.1f}" width="{abs(x - one):.1f}" height="{thick - 1:.1f}" '
                f'fill="{_COLOURS[name]}"/>'
                + _text(
                    x + (5 if better >= 1 else -5),
                    top + thick - 2,
                    f"{better:.2f}",
                    "start" if better >= 1 else "end",
                    11,
                )
            )
        assert metric.goal is not None
        goal = _x(metric.goal if metric.rising else 1 / metric.goal)
        parts.append(
            f'<line x1="{goal:.1f}" y1="{y - 3}" x2="{goal:.1f}" y2="{y + _ROW - 9}" '
            'stroke="#c0392b" stroke-width="2"/>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
