"""DQD's checks on any small candidate: the fused scans count what each check's own SQL counts."""

import tempfile
from pathlib import Path

import pytest
from dqd_helpers import add_odd_rows, add_vocabulary, candidate, count_directly, write_candidate
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from etl.config import settings
from etl.quality import compute_candidate
from etl.quality.dqd.catalogue import read_catalogue

pytestmark = pytest.mark.property

# Of 2,374 single queries, which take 5 s, each example asks every sixteenth.
SHARE = 16


@examples(0.1)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 12), doubled=st.booleans(), first=st.integers(0, SHARE - 1))
def test_fused_scans_count_as_single_queries_do(seed: int, rows: int, doubled: bool, first: int, home: Path) -> None:
    checks = read_catalogue(settings().expectations_dir / "dqd", deprecated=True)
    with candidate() as con, tempfile.TemporaryDirectory() as folder:
        add_vocabulary(con)
        add_odd_rows(con, seed, rows, doubled=doubled)
        run, vocabulary = write_candidate(con, Path(folder))
        results = compute_candidate(settings(), run, vocabulary, (), deprecated=True)
        direct = count_directly(con, checks[first::SHARE])
    fused = {result.check_id: (result.violated, result.denominator) for result in results}
    assert {check_id: fused[check_id] for check_id in direct} == direct
