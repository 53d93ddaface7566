"""Live progress of a run's steps, on a terminal as bars, elsewhere as one line a step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from etl.cli import err

StepProgress = Callable[[str, Any, Any], None]


@contextmanager
def steps_progress(total: int) -> Iterator[StepProgress]:
    """Yields what the pipeline calls with (state, step, result)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task("run", total=total)
        active: dict[str, None] = {}

        def tell(state: str, step: Any, result: Any) -> None:
            if state == "started":
                active[step.name] = None
            else:
                active.pop(step.name, None)
                bars.advance(bar)
                mark = "[green]✓[/green]" if state == "done" else "[red]✗[/red]"
                seconds = f"{result.seconds:6.1f} s  {result.message}" if result else ""
                bars.console.print(
                    f"{mark} {step.group:<10} {step.name:<22} {seconds}", highlight=False, soft_wrap=True
                )
            bars.update(bar, description=", ".join(active) or "run")

        yield tell


@contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner with a changing text; elsewhere than on a terminal, a line per change."""
    if err.is_terminal:
        with err.status(text) as status:
            yield status.update
    else:
        err.print(text)
        yield err.print
