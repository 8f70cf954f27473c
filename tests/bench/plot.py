"""Draws messages per second of everything that stands between source and sink."""

from __future__ import annotations

from html import escape
from typing import Any


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plot(rows: list[dict[str, Any]]) -> str:
    """Bars of messages per second, ten sessions (four for the largest)."""
    bars = [row for row in rows if row["sessions"] not in (1, 50) and row["middle"] != "direct"]
    height = 22
    texts = []
    for size in dict.fromkeys(row["size"] for row in bars):
        most = max(row["per_second"] for row in bars if row["size"] == size)
        for row in (row for row in bars if row["size"] == size):
            top = 10 + height * len(texts)
            width = 420 * row["per_second"] / most
            colour = "#2a6f97" if row["middle"].startswith("smimegw") else "#a9a9a9"
            texts.append(
                f'<text x="195" y="{top + 13}" text-anchor="end">'
                f"{escape(row['middle'])}, {size}</text>"
                f'<rect x="200" y="{top}" width="{width:.0f}" height="16" fill="{colour}"/>'
                f'<text x="{205 + width:.0f}" y="{top + 13}">{number(row["per_second"])}</text>'
            )
    total = 20 + height * len(texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 {total}"'
        f' font-family="sans-serif" font-size="12">' + "".join(texts) + "</svg>\n"
    )
