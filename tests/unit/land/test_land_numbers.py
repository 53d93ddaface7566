"""States of random batches, added to night by night or made at once, against a naive account of them."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from landing_helpers import Clinic, make_contract, rows

from etl.engine import connection
from etl.land import Earlier, current_tables
from etl.land.current import MOST_FILES
from etl.land.numbers import first_numbers

pytestmark = pytest.mark.property

CONTRACT = """
source: clinic
reject_limit: {share: 0.1, rows: 3}
tables:
  t:
    file: t
    key: %s
    change: %s
    columns:
      A: {type: text, required: true}
      B: {type: text}
      N: {type: integer}
"""
MODES = {
    "snapshot by key": ("[A, B]", "snapshot"),
    "snapshot by row": ("whole row", "snapshot"),
    "appended by key": ("[A, B]", "append"),
    "appended by row": ("whole row", "append"),
    "watermark": ("[A, B]", "{watermark: N}"),
}
Row = tuple[str, str | None, int | None]
Batch = tuple[int, list[tuple[Row, int]]]


def random_rows(chance: random.Random, is_keyed: bool) -> list[Row]:
    """Few values, so that keys and whole rows come again; NULL in the key; texts that end like others begin."""
    found = [
        (chance.choice(("a", "b", "a1")), chance.choice((None, "1", "11", ":", "a:1")), chance.choice((None, 1, 2, 3)))
        for _ in range(chance.randint(1, 6))
    ]
    return list({row[:2]: row for row in found}.values()) if is_keyed else found


def identities(batch: Batch, is_keyed: bool) -> list[tuple[object, ...]]:
    """What tells each row of a batch from all others."""
    seen: Counter[Row] = Counter()
    found: list[tuple[object, ...]] = []
    for row, _ in batch[1]:
        seen[row] += 1
        found.append(row[:2] if is_keyed else (*row, seen[row]))
    return found


def naive_state(batches: Sequence[Batch], mine: Sequence[int], is_keyed: bool, mode: str) -> list[tuple[object, ...]]:
    """Each row of the state with the number of its first arrival."""
    first: dict[tuple[object, ...], int] = {}
    for batch in batches:
        for identity, (_, number) in zip(identities(batch, is_keyed), batch[1], strict=True):
            first[identity] = min(number, first.get(identity, number))
    by_id = dict(batches)
    chosen = [(number, by_id[number]) for number in mine]
    if mode == "appended by row":
        return [(*row, number) for _, content in chosen for row, number in content]
    if mode.startswith("snapshot"):
        newest = chosen[-1]
        return [
            (*row, first[identity]) for identity, (row, _) in zip(identities(newest, is_keyed), newest[1], strict=True)
        ]
    best: dict[tuple[object, ...], tuple[tuple[int, int], Row]] = {}
    for place, batch in enumerate(chosen):
        for identity, (row, _) in zip(identities(batch, is_keyed), batch[1], strict=True):
            rank = ((row[2] or 0) if mode == "watermark" else 0, place)
            if identity not in best or rank > best[identity][0]:
                best[identity] = (rank, row)
    return [(*row, first[identity]) for identity, (_, row) in best.items()]


@pytest.mark.parametrize("mode", MODES)
def test_a_state_is_the_same_added_to_or_made_at_once(
    clinic: Clinic, tmp_path: Path, mode: str, request: pytest.FixtureRequest
) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT % MODES[mode])
    is_keyed, chance = bool(clinic.contract.tables["t"].key), random.Random(f"{mode} 20261128")
    batches: list[Batch] = []
    mine: list[int] = []
    earlier: Earlier | None = None
    added_to = 0

    def found(name: str, before: Earlier | None) -> tuple[list[Path], list[tuple[object, ...]]]:
        files = current_tables(
            clinic.settings, clinic.engine, clinic.contract, mine, tmp_path / name, {"t": before} if before else None
        )["t"]
        return files, [row for path in files for row in rows(path, "a, b, n, source_row_id")]

    for night in range(200 if request.config.getoption("--long") else 30):
        content = random_rows(chance, is_keyed)
        text = "A,B,N\n" + "".join(f"{a},{b or ''},{'' if n is None else n}\n" for a, b, n in content)
        [landed] = clinic.land({"t.csv": text}).batches
        if landed.batch_id not in {number for number, _ in batches}:  # else the very same file came before
            told = rows(landed.path, "a, b, n, source_row_id")
            batches.append((landed.batch_id, [(row[:3], row[3]) for row in told]))
        if chance.random() < 0.15:
            mine = mine[:-1]  # a night is taken back: its batch lends numbers only
            earlier = None if chance.random() < 0.5 else earlier
        if chance.random() < 0.9 or not mine:
            mine = [*(number for number in mine if number != landed.batch_id), landed.batch_id]
        files, state = found(f"night-{night}", earlier)
        assert Counter(state) == Counter(naive_state(batches, mine, is_keyed, mode)), night
        assert Counter(found(f"at-once-{night}", None)[1]) == Counter(state), night
        assert len(files) <= MOST_FILES or mode == "appended by row"
        added_to += earlier is not None and len(files) > len(earlier.files)
        earlier = Earlier(files, list(mine))
    if mode in ("appended by key", "watermark"):
        assert added_to, "some night brought new keys only"


def test_a_night_of_new_keys_leaves_the_files_that_are_there(clinic: Clinic, tmp_path: Path) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT % MODES["appended by key"])
    mine: list[int] = []
    files: list[Path] = []
    for night in range(MOST_FILES + 3):
        before = {"t": Earlier(files, list(mine))} if files else None
        mine += clinic.land({"t.csv": f"A,B,N\nx,{night},1\n"}).batch_ids
        made = current_tables(clinic.settings, clinic.engine, clinic.contract, mine, tmp_path / str(night), before)["t"]
        if len(made) > 1:
            assert [path.read_bytes() for path in made[:-1]] == [path.read_bytes() for path in files]
            assert [row[1:] for row in rows(made[-1], "a, b")] == [(str(night),)]
        files = made
        assert len(files) == (night % MOST_FILES) + 1
    assert sorted(int(row[0]) for path in files for row in rows(path, "b")) == list(range(MOST_FILES + 3))


def test_numbers_are_made_again_where_they_are_missing(clinic: Clinic, tmp_path: Path) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT % MODES["snapshot by row"])
    for text in ("x,,1\nx,,1\n", "y,,1\n", "x,,1\ny,,1\nx,,1\nx,,1\n"):
        mine = list(clinic.land({"t.csv": f"A,B,N\n{text}"}).batch_ids)
    states = []
    for name in ("with", "without"):
        [path] = current_tables(clinic.settings, clinic.engine, clinic.contract, mine, tmp_path / name)["t"]
        states.append(sorted(rows(path, "a, source_row_id")))
        numbers = sorted((clinic.settings.lake / "numbers" / "clinic" / "t").iterdir())
        assert [len(rows(file, "content")) for file in numbers] == [2, 1, 1]
        numbers[1].unlink()
    assert states == [[("x", 1), ("x", 2), ("x", 7), ("y", 3)]] * 2


def test_two_that_land_at_once_leave_a_row_its_first_number(clinic: Clinic, tmp_path: Path) -> None:
    """Who numbered the third batch did not see the second: both have the row as new."""
    clinic.contract = make_contract(tmp_path, CONTRACT % MODES["snapshot by row"])
    batches = [clinic.land({"t.csv": f"A,B,N\n{text}"}).batches[0] for text in ("x,,1\n", "y,,1\n", "y,,1\nz,,1\n")]
    paths = {batch.batch_id: batch.path for batch in batches}
    with connection() as con:
        seen = {number: path for number, path in paths.items() if number != batches[1].batch_id}
        first_numbers(con, clinic.settings, "clinic", clinic.contract.tables["t"], seen)
    [path] = current_tables(clinic.settings, clinic.engine, clinic.contract, list(paths), tmp_path / "run")["t"]
    assert sorted(rows(path, "a, source_row_id")) == [("y", 2), ("z", 4)]


def test_a_landing_that_is_done_again_leaves_nothing_of_the_first_attempt(clinic: Clinic, tmp_path: Path) -> None:
    """The files were mended between two attempts of a run: its folder has a state that is not the one any more."""
    clinic.contract = make_contract(tmp_path, CONTRACT % MODES["appended by key"])
    batches = [clinic.land({"t.csv": f"A,B,N\n{text}\n"}).batches[0].batch_id for text in ("a,1,1", "b,1,1", "a,1,2")]
    first, second, wrong = batches

    def state(mine: list[int], name: str, before: Earlier) -> list[Path]:
        found = current_tables(clinic.settings, clinic.engine, clinic.contract, mine, tmp_path / name, {"t": before})
        return found["t"]

    made_at_once = current_tables(clinic.settings, clinic.engine, clinic.contract, batches[:2], tmp_path / "base")["t"]
    base = Earlier(made_at_once, [first, second])
    state([first, second, wrong], "run", base)
    again = state([first, second], "run", base)
    assert sorted(row for path in again for row in rows(path, "a, n")) == [("a", 1), ("b", 1)]
    assert [path.parent.name for path in again] == ["current"]
    assert rows(made_at_once[0], "a, n") == rows(again[0], "a, n")
