"""Tables and lines that commands print. Rows, counts and names only."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from etl.cli import out


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> None:
    """Print a table; `numbers` are the positions of columns to align right."""
    out.print(title, style="bold", highlight=False)
    shown = Table(header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        shown.add_column(column, justify="right" if position in numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*("" if cell is None else count(cell) for cell in row))
    out.print(shown)
    out.print()


def count(cell: object) -> str:
    """Thousands separated for integers, everything else as it is."""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def reasons(found: dict[str, int]) -> str:
    """`person_unknown 3, no_code 1`"""
    return ", ".join(f"{name} {rows:,}" for name, rows in sorted(found.items(), key=lambda item: -item[1]))
