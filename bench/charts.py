"""Charts of results as SVG: a bar for each contender, as long as its minimum, with a mark at its median.

A bar that would make all others too short to compare is cut, and says so.
"""

from __future__ import annotations

from html import escape

from bench.results import Line, Result

WIDTH = 720
LABELS = 170  # pixels for the names
FIGURES = 130  # pixels for the figures
ROW = 24
TOP = 34
OURS = "#2563eb"
THEIRS = "#94a3b8"
FARTHEST = 3  # times the longest of ours, beyond which bars are cut


def chart(result: Result) -> str:
    """One picture. Less is better, so shorter bars are."""
    lines = [line for line in result.lines if line.counts]
    ours = [line.median for line in lines if _ours(line)]
    most = max((line.median for line in lines), default=1.0)
    most = min(most, FARTHEST * max(ours)) if ours else most
    rows = "".join(_row(line, TOP + ROW * number, most) for number, line in enumerate(lines))
    height = TOP + ROW * len(lines) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(result.title)}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="8" y="20" font-weight="bold" fill="#0f172a">{escape(result.title)}: {escape(result.unit)}, '
        f"less is better</text>\n{rows}</svg>\n"
    )


def _row(line: Line, top: int, most: float) -> str:
    scale = (WIDTH - LABELS - FIGURES) / most
    length, mark = min(line.best, most) * scale, LABELS + min(line.median, most) * scale
    color = OURS if _ours(line) else THEIRS
    cut = " (bar is cut)" if line.median > most else ""
    middle = top + ROW * 0.65
    return (
        f'<text x="{LABELS - 8}" y="{middle:.0f}" text-anchor="end" fill="#0f172a">{escape(line.name)}</text>'
        f'<rect x="{LABELS}" y="{top + 3}" width="{max(1.0, length):.1f}" height="{ROW - 8}" fill="{color}"/>'
        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="{top + 1}" y2="{top + ROW - 3}" stroke="#0f172a"/>'
        f'<text x="{mark + 6:.1f}" y="{middle:.0f}" fill="#0f172a">{figure(line.best)}{cut}</text>\n'
    )


def _ours(line: Line) -> bool:
    return line.name.startswith("gateway")


def figure(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
