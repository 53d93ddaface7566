"""The conventions of time as one would do them by hand: sets of days, pairs of spans, no window in sight."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

Span = tuple[date, date]
Item = TypeVar("Item")


def days_of(span: Span) -> set[date]:
    """Every day from the first to the last."""
    first, last = span
    return {first + timedelta(days=number) for number in range((last - first).days + 1)}


def apart(one: Span, other: Span) -> int:
    """Days from the end of the earlier to the start of the later: 0 or less where they meet, 1 for the next day."""
    return (max(one[0], other[0]) - min(one[1], other[1])).days


def joined(items: Sequence[Item], is_one: Callable[[list[Item], list[Item]], bool]) -> list[list[Item]]:
    """Groups of items: any two groups that are one are joined, until none are."""
    groups = [[item] for item in items]
    while True:
        pair = next(
            ((one, two) for one in groups for two in groups if one is not two and is_one(one, two)),
            None,
        )
        if pair is None:
            return groups
        one, two = pair
        one.extend(two)
        groups = [group for group in groups if group is not two]


def reach(spans: Iterable[Span]) -> Span:
    """From the first day of any to the last day of any."""
    listed = list(spans)
    return min(first for first, _ in listed), max(last for _, last in listed)


def within(longest: int, spans: Sequence[Span]) -> list[list[Span]]:
    """Spans at most `longest` days apart from what they are joined to, together."""
    return joined(spans, lambda one, two: apart(reach(one), reach(two)) <= longest)


def by(key: Callable[[Any], Hashable], items: Iterable[Item]) -> dict[Any, list[Item]]:
    """Items by what they have in common."""
    found: dict[Any, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
