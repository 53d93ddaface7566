"""Runs pieces of work over a few connections at once, in the order of their dependencies, longest way first."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from etl.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Task:
    """One piece of work on one connection; it commits what it did. `cost` is a guess in seconds, for the order only."""

    name: str
    work: Callable[[Any], None]
    cost: float
    after: tuple[str, ...] = ()


def ranks(tasks: Sequence[Task]) -> dict[str, float]:
    """The cost of the longest way from a task to the end: what is behind many or slow others goes first."""
    dependents: dict[str, list[Task]] = {task.name: [] for task in tasks}
    for task in tasks:
        for earlier in task.after:
            dependents[earlier].append(task)
    found: dict[str, float] = {}

    def rank(task: Task) -> float:
        if task.name not in found:
            found[task.name] = task.cost + max((rank(later) for later in dependents[task.name]), default=0.0)
        return found[task.name]

    for task in tasks:
        rank(task)
    return found


class _Board:
    """What is waiting, running and done; shared by the worker threads under one condition."""

    def __init__(self, tasks: Sequence[Task], order: Mapping[str, float]) -> None:
        self.waiting = sorted(tasks, key=lambda task: -order[task.name])
        self.done: set[str] = set()
        self.failure: BaseException | None = None
        self.changed = threading.Condition()

    def take(self) -> Task | None:
        """The most urgent task whose predecessors are done; None when there is nothing left to do."""
        with self.changed:
            while self.waiting and self.failure is None:
                for task in self.waiting:
                    if self.done.issuperset(task.after):
                        self.waiting.remove(task)
                        return task
                self.changed.wait()
            return None

    def finish(self, task: Task, failure: BaseException | None = None) -> None:
        with self.changed:
            self.done.add(task.name)
            self.failure = self.failure or failure
            self.changed.notify_all()

    def stop(self, failure: BaseException) -> None:
        with self.changed:
            self.failure = self.failure or failure
            self.changed.notify_all()


def run_tasks(tasks: Sequence[Task], connections: Sequence[Any]) -> None:
    """Do all tasks, one at a time per connection. The first failure cancels the others and is raised."""
    board = _Board(tasks, ranks(tasks))

    def serve(connection: Any) -> None:
        while (task := board.take()) is not None:
            started = perf_counter()
            failure: BaseException | None = None
            try:
                task.work(connection)
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                failure = error
            log.debug("%s: %.2f s", task.name, perf_counter() - started)
            board.finish(task, failure)
            if failure is not None:
                cancel(other for other in connections if other is not connection)

    threads = [
        threading.Thread(target=serve, args=(connection,), name=f"load-{n}") for n, connection in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as interruption:  # Ctrl-C: end the statements, wait for the threads, then pass it on
        board.stop(interruption)
        cancel(connections)
        for thread in threads:
            thread.join()
        raise
    if board.failure is not None:
        raise board.failure


def cancel(connections: Any) -> None:
    """End what these connections are doing; a connection that is already closed has nothing to end."""
    for connection in connections:
        if not connection.closed:
            connection.cancel()
