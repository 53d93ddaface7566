"""A ledger that does not add up refuses the run, whatever disagrees: altered in `etl.row_account` before the gate."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import make_home, remove_home
from tiny_hospital import Hospital, hospital_in, write_tiny_hospital

from etl.demo import demo_vocabulary_folder
from etl.errors import GateRefused
from etl.pipeline import run_step
from etl.pipeline.account import settle
from etl.pipeline.gate import judge_candidate
from etl.pipeline.runs import Run, load_run, open_run
from etl.pipeline.steps import steps

pytestmark = pytest.mark.faults

OF = "etl.row_account WHERE run_id = %(run)s AND table_name = 'encounters' AND kind ="
ADD = "INSERT INTO etl.row_account SELECT %(run)s, 'encounters', "
# what is planted → what the refusal says
PLANTED = {
    "a row received and never landed": (
        f"UPDATE {OF} 'received'".replace(" WHERE", " SET rows = rows + 1 WHERE"),
        ("encounters: received 4, but landed 3 and rejected 0", "accounting.landed_or_rejected.encounters: 1 of 4"),
    ),
    "a row rejected that had landed": (
        ADD + "'rejected', 'STOP is not a timestamp', 1",
        ("encounters: received 3, but landed 3 and rejected 1", "accounting.landed_or_rejected.encounters: 1 of 3"),
    ),
    "a row used twice": (
        f"UPDATE {OF} 'used'".replace(" WHERE", " SET rows = rows + 1 WHERE"),
        ("encounters: landed 3, but used 4, excluded 0", "accounting.used_or_excluded.encounters: 1 of 3"),
    ),
    "a row used and excluded": (
        ADD + "'excluded', 'no_start_date', 1",
        ("encounters: landed 3, but used 3, excluded 1", "accounting.used_or_excluded.encounters: 1 of 3"),
    ),
    "a row that nothing explains": (
        f"UPDATE {OF} 'unaccounted'".replace(" WHERE", " SET rows = rows + 1 WHERE"),
        ("1 landed rows are neither in the CDM nor excluded by a rule", "accounting.encounters: 1 of 3"),
    ),
    "a CDM row that comes from nowhere": (
        ADD + "'not_landed', '', 2",
        ("encounters: 2 CDM rows come from no landed row", "accounting.from_landed.encounters: 2 of"),
    ),
    "a table without a ledger": (
        "DELETE FROM etl.row_account WHERE run_id = %(run)s AND table_name = 'encounters'",
        ("encounters: has no line of landed, used, unaccounted rows", "accounting.encounters: 1 of"),
    ),
    "a run without a ledger": (
        "DELETE FROM etl.row_account WHERE run_id = %(run)s",
        ("accounting: the suite is empty",),
    ),
}


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    home = make_home()
    try:
        with hospital_in(home) as found:
            yield found
    finally:
        remove_home(home)


@pytest.fixture(scope="module")
def accounted(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run up to the gate."""
    folder: Path = write_tiny_hospital(tmp_path_factory.mktemp("good"))
    run_id = open_run(source="synthea", input_folder=str(folder), vocabulary_folder=str(demo_vocabulary_folder()))
    for step in steps("synthea"):
        if step.name == "gate":
            break
        run_step(run_id, step.name)
    return load_run(run_id)


def test_a_ledger_that_adds_up_lets_the_candidate_pass(hospital: Hospital, accounted: Run) -> None:
    settle(accounted, hospital.engine)
    assert [account.disagreements for account in hospital.ledger(accounted).values() if not account.adds_up] == []
    assert "expectations evaluated" in judge_candidate(accounted)


@pytest.mark.parametrize("what", PLANTED)
def test_a_ledger_that_does_not_add_up_is_refused_with_table_and_counts(
    what: str, hospital: Hospital, accounted: Run
) -> None:
    statement, told = PLANTED[what]
    settle(accounted, hospital.engine)
    with hospital.engine.begin() as con:
        assert con.exec_driver_sql(statement, {"run": accounted.run_id}).rowcount > 0
    with pytest.raises(GateRefused) as refused:
        judge_candidate(accounted)
    assert not [words for words in told if words not in refused.value.what], refused.value.what
    verdict = load_run(accounted.run_id).verdict
    assert verdict is not None and not verdict["passed"]
