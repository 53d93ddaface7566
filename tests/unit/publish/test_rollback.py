"""Going back and comparing where more nights were put in place than are kept."""

from pathlib import Path

import pytest
from publish_world import World, labelled

from etl.errors import UsageError
from etl.publish import rollback, write_differences


@pytest.fixture
def vocabulary(world: World) -> int:
    """One full release and five nights on its tables, of which three releases are kept."""
    number = world.vocabulary()
    world.publish("run-1", labelled("1"), number)
    for night in range(2, 7):
        world.put_in_place(f"run-{night}", labelled(str(night)), number, f"run-{night - 1}")
    return number


def test_the_last_nights_can_be_taken_back_and_done_again_however_many_came_before(
    world: World, vocabulary: int
) -> None:
    assert world.schemas("cdm_d%") == ["cdm_d5", "cdm_d6"]
    for to, label in ((None, "5"), (None, "4"), (6, "6"), (5, "5"), (6, "6")):
        rollback(world.settings, world.database, to)
        assert world.served() == label
    world.put_in_place("run-7", labelled("7"), vocabulary, "run-6")
    world.put_in_place("run-8", labelled("8"), vocabulary, "run-7")
    rollback(world.settings, world.database, None)
    assert world.served() == "7"


def test_the_last_nights_are_compared_and_nobody_goes_back_behind_one_whose_rows_are_not_kept(
    world: World, vocabulary: int, tmp_path: Path
) -> None:
    write_differences(world.database, 5, 6, tmp_path / "differences.csv")
    rows = [line.split(",") for line in (tmp_path / "differences.csv").read_text().splitlines()]
    assert sum(1 for table, kind, *_ in rows if (table, kind) == ("person", "changed")) == 50
    for to in (1, 2, 3):
        with pytest.raises(UsageError, match=r"what release \d changed is not kept"):
            rollback(world.settings, world.database, to)
    assert world.served() == "6"


def test_a_night_that_was_taken_back_and_replaced_is_told_from_the_one_in_its_place(
    world: World, vocabulary: int
) -> None:
    rollback(world.settings, world.database, None)
    for night in (7, 8, 9, 10):
        world.put_in_place(
            f"run-{night}", labelled(str(night)), vocabulary, "run-5" if night == 7 else f"run-{night - 1}"
        )
    rollback(world.settings, world.database, None)
    assert world.served() == "9"
    with pytest.raises(UsageError, match=r"what release \d changed is not kept"):
        rollback(world.settings, world.database, 6)
    assert world.served() == "9"
