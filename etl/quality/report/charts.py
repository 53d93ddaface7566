"""Numbers to places on a drawing. The drawings themselves are SVG in the templates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from etl.quality.report.model import ReleaseCounts

# The trend's drawing area in the units of its viewBox: about pixels at 400 wide, so that letters stay readable there.
LEFT, RIGHT, TOP, BOTTOM = 34.0, 348.0, 16.0, 118.0
RELEASES_SHOWN = 24
WIDEST_BAR = 22.0
RING_RADIUS = 34.0


@dataclass(frozen=True)
class Piece:
    """A part of a bar: of which severity, from where, how high."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    """One release in both charts: its place, its dot, its bar, and whether there is room for its name."""

    counts: ReleaseCounts
    x: float
    left: float
    width: float
    dot_y: float
    top_y: float
    pieces: tuple[Piece, ...]
    is_named: bool


@dataclass(frozen=True)
class Trend:
    """Both charts of the trend: a line of the share that passed, and bars of what failed."""

    columns: tuple[Column, ...]
    line: str
    shares: tuple[tuple[float, str], ...]  # y and label of the grid of shares
    failures: tuple[tuple[float, str], ...]


def trend(releases: Sequence[ReleaseCounts]) -> Trend:
    """The last `RELEASES_SHOWN` of these, oldest first."""
    shown = list(releases)[-RELEASES_SHOWN:]
    floor = share_floor(min((each.share_passed for each in shown), default=1.0))
    most = nice_top(max((each.failed for each in shown), default=0))
    step = (RIGHT - LEFT) / max(len(shown), 1)
    every = math.ceil(len(shown) / 8)
    columns = []
    for number, each in enumerate(shown):
        x = LEFT + step * (number + 0.5)
        width = min(step * 0.62, WIDEST_BAR)
        pieces = _pieces(each, most)
        columns.append(
            Column(
                counts=each,
                x=round(x, 1),
                left=round(x - width / 2, 1),
                width=round(width, 1),
                dot_y=round(_y((each.share_passed - floor) / (1 - floor)), 1),
                top_y=pieces[-1].y if pieces else BOTTOM,
                pieces=pieces,
                is_named=(len(shown) - 1 - number) % every == 0,
            )
        )
    return Trend(
        columns=tuple(columns),
        line=" ".join(f"{column.x},{column.dot_y}" for column in columns),
        shares=tuple((_y(part), f"{100 * (floor + part * (1 - floor)):.3g}") for part in (0.0, 0.5, 1.0)),
        failures=tuple((_y(part), f"{most * part:g}") for part in (0.0, 0.5, 1.0)),
    )


def _pieces(counts: ReleaseCounts, most: int) -> tuple[Piece, ...]:
    found, below = [], BOTTOM
    for kind, failed in (
        ("critical", counts.critical + counts.errors),
        ("warning", counts.warning),
        ("info", counts.info),
    ):
        height = failed / most * (BOTTOM - TOP)
        if failed:
            found.append(Piece(kind, round(below - height, 1), round(height, 1)))
        below -= height
    return tuple(found)


def _y(part: float) -> float:
    return BOTTOM - part * (BOTTOM - TOP)


def share_floor(least: float) -> float:
    """Where an axis of shares begins, so that 99.1 and 99.6 % do not look the same: 0, 50, 80, 90, 95, 98 or 99 %."""
    return max((floor for floor in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99) if floor < least), default=0.0)


def nice_top(most: int) -> int:
    """An even number of 1, 2, 4, 6, 8 or 10 times a power of ten that is not below `most`, and at least 2."""
    if most <= 2:
        return 2
    power = 10 ** int(math.log10(most))
    return next(int(step * power) for step in (1, 2, 4, 6, 8, 10) if step * power >= most)


def ring(part: float) -> tuple[float, float]:
    """The dashes that draw this part of a ring: its length and the rest's."""
    whole = 2 * math.pi * RING_RADIUS
    return round(part * whole, 2), round((1 - part) * whole, 2)
