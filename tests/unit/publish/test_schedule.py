"""The order of the work and what a failure does to it."""

import threading
import time

import pytest

from etl.publish.schedule import Task, ranks, run_tasks


class FakeConnection:
    closed = False

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


def test_a_task_runs_only_after_those_it_needs() -> None:
    done: list[str] = []
    tasks = [
        Task("validate", lambda _: done.append("validate"), 1.0, ("keys",)),
        Task("keys", lambda _: done.append("keys"), 1.0, ("copy a", "copy b")),
        Task("copy a", lambda _: done.append("copy a"), 1.0),
        Task("copy b", lambda _: done.append("copy b"), 9.0),
    ]
    run_tasks(tasks, [FakeConnection(), FakeConnection()])
    assert sorted(done[:2]) == ["copy a", "copy b"]
    assert done[2:] == ["keys", "validate"]


def test_what_has_the_longest_way_behind_it_goes_first() -> None:
    done: list[str] = []
    tasks = [
        Task("small", lambda _: done.append("small"), 2.0),
        Task("start of a long way", lambda _: done.append("start"), 1.0),
        Task("long", lambda _: done.append("long"), 5.0, ("start of a long way",)),
    ]
    assert ranks(tasks) == {"small": 2.0, "start of a long way": 6.0, "long": 5.0}
    run_tasks(tasks, [FakeConnection()])
    assert done == ["start", "long", "small"]


def test_two_connections_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    run_tasks([Task("a", lambda _: both.wait() and None, 1), Task("b", lambda _: both.wait() and None, 1)],
              [FakeConnection(), FakeConnection()])  # fmt: skip


def test_the_first_failure_cancels_the_others_and_is_raised() -> None:
    started = threading.Event()
    late: list[str] = []

    def fail(_: FakeConnection) -> None:
        started.wait(10)
        raise ValueError("first")

    def long_statement(connection: FakeConnection) -> None:
        started.set()
        if connection.cancelled.wait(10):
            raise RuntimeError("cancelled")
        late.append("not cancelled")

    tasks = [
        Task("fail", fail, 3),
        Task("long", long_statement, 3),
        Task("never", lambda _: late.append("never"), 1, ("fail",)),
    ]
    began = time.monotonic()
    with pytest.raises(ValueError, match="first"):
        run_tasks(tasks, [FakeConnection(), FakeConnection()])
    assert late == []
    assert time.monotonic() - began < 5
