"""What decides over the meaning of codes: nothing that reads the vocabulary is left out."""

from etl.pipeline import sources
from etl.pipeline.code_changes import READERS, code_columns
from etl.pipeline.models import models


def test_every_sql_file_that_reads_the_vocabulary_is_known_to_the_comparison() -> None:
    """A new one must be added to what is compared, else persons are missed when a vocabulary is adopted."""
    for source in sources():
        read = ("vocabulary.", "custom.")
        found = {m.name for m in models(source).values() if any(name.startswith(read) for name in m.inputs)}
        assert found == set(READERS)


def test_every_code_of_a_source_row_is_looked_at() -> None:
    used = {(model, code) for model, _, code in code_columns("synthea")}
    assert {("src_event", "source_code"), ("src_event", "unit_code"), ("src_visit", "visit_code")} <= used
    assert "src_code_name" not in {model for model, _ in used}
