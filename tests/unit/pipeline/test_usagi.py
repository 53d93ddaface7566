"""Codes out to Usagi and its saved file back in as a custom map."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.errors import ContractError, UsageError
from etl.pipeline.coverage import Code, SourceColumn
from etl.pipeline.usagi import EXPORT_HEADER, export_unmapped, import_usagi
from etl.vocabulary import custom_maps

DIABETES, PAIN, OLD, CLASSIFICATION = 201826, 4329041, 45, 46
# as Usagi 1.4 saves
HEADER = (
    "sourceCode,sourceName,sourceFrequency,sourceAutoAssignedConceptIds,matchScore,mappingStatus,equivalence,"
    "statusSetBy,statusSetOn,conceptId,conceptName,domainId,mappingType,comment,createdBy,createdOn,assignedReviewer\n"
)


def saved(code: str, target: int, status: str = "APPROVED", kind: str = "MAPS_TO") -> str:
    return f'{code},"name, of {code}",7,,0.9,{status},EQUAL,me,0,{target},target,Condition,{kind},,me,0,\n'


@pytest.fixture
def concepts(home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "concept.parquet"
    table = {
        "concept_id": pa.array([DIABETES, PAIN, OLD, CLASSIFICATION], pa.int32()),
        "vocabulary_id": ["SNOMED", "SNOMED", "SNOMED", "ATC"],
        "standard_concept": ["S", "S", "S", "C"],
        "invalid_reason": [None, None, "D", None],
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    return tmp_path / "sources/hospital/map"


def usagi_file(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "saved.csv"
    path.write_text(header + "".join(lines), encoding="utf-8")
    return path


def mapped(maps: Path, tmp_path: Path, concepts: Path) -> set[tuple[str, str, int]]:
    """What a run would read from the folder: (vocabulary, code, target)."""
    output = tmp_path / "source_to_concept_map.parquet"
    custom_maps(maps, output, concepts)
    rows = pq.read_table(output).to_pylist()
    return {(row["source_vocabulary_id"], row["source_code"], row["target_concept_id"]) for row in rows}


def unmapped(text: str, rows: int, *, name: str | None = None, vocabulary: str = "Local") -> Code:
    return Code(vocabulary, text, name, rows, 0, 0, "unmapped", 0, None, None)


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


COLUMNS = (
    SourceColumn(
        "conditions.code",
        "code",
        (
            unmapped("X", 3, name='sugar, "high"'),
            unmapped("Y", 9),
            Code("Local", "Z", "known", 5, 5, 1, "maps to", PAIN, "Pain", "Condition"),
        ),
    ),
    SourceColumn("procedures.code", "code", (unmapped("X", 20), unmapped("X", 1, vocabulary="Local class"))),
)


def test_unmapped_codes_go_out_by_vocabulary_with_the_most_frequent_first(tmp_path: Path) -> None:
    files = export_unmapped(COLUMNS, tmp_path / "out")
    assert [(name, path.name, codes) for name, path, codes in files] == [
        ("Local", "local.csv", 2),
        ("Local class", "local_class.csv", 1),
    ]
    assert read(tmp_path / "out/local.csv") == [
        list(EXPORT_HEADER),
        ["X", 'sugar, "high"', "23", "Local", "conditions.code procedures.code"],
        ["Y", "Y", "9", "Local", "conditions.code"],
    ]


def test_one_file_takes_one_vocabulary_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 vocabularies"):
        export_unmapped(COLUMNS, tmp_path / "all.csv")
    assert list(tmp_path.iterdir()) == []
    [(_, path, _)] = export_unmapped(COLUMNS[:1], tmp_path / "one.csv")
    assert path == tmp_path / "one.csv"


def test_vocabularies_whose_files_would_be_one_are_not_written_over_each_other(tmp_path: Path) -> None:
    column = SourceColumn("wards.code", "code", (unmapped("X", 1), unmapped("X", 1, vocabulary="local!")))
    with pytest.raises(UsageError, match="one file: Local, local!"):
        export_unmapped([column], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_exported_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    export_unmapped(COLUMNS, tmp_path / "out")
    (tmp_path / "out/local.csv").write_text("worked on")
    with pytest.raises(UsageError, match="local"):
        export_unmapped(COLUMNS, tmp_path / "out")
    assert (tmp_path / "out/local.csv").read_text() == "worked on"
    export_unmapped(COLUMNS, tmp_path / "out", replace=True)
    assert len(read(tmp_path / "out/local.csv")) == 3


def test_approved_targets_become_a_map_that_a_run_reads(tmp_path: Path, maps: Path, concepts: Path) -> None:
    file = usagi_file(
        tmp_path,
        saved("X", DIABETES),
        saved("X", PAIN),
        saved("Y", PAIN, status="UNCHECKED"),
        saved("Z", 0),
        saved("W", PAIN, kind="MAPS_TO_VALUE"),
    )
    report = import_usagi(file, "Local class (wards)", maps, concepts)
    assert report.path == maps / "local_class_wards.csv"
    assert (report.codes, report.rows) == (1, 2)
    assert dict(report.ignored) == {
        "status UNCHECKED": 1,
        "approved as having no concept": 1,
        "mapping type MAPS_TO_VALUE": 1,
    }
    assert mapped(maps, tmp_path, concepts) == {
        ("Local class (wards)", "X", DIABETES),
        ("Local class (wards)", "X", PAIN),
    }


def test_files_of_older_usagis_have_no_types(tmp_path: Path, maps: Path, concepts: Path) -> None:
    header = "sourceCode,sourceName,sourceFrequency,sourceAutoAssignedConceptIds,matchScore,mappingStatus,conceptId\n"
    file = usagi_file(tmp_path, f"X,name,7,,0.9,APPROVED,{PAIN}\n", header=header)
    assert import_usagi(file, "Local", maps, concepts).rows == 1


def test_targets_that_are_not_standard_or_not_valid_are_refused_by_code_and_id(
    tmp_path: Path, maps: Path, concepts: Path
) -> None:
    file = usagi_file(
        tmp_path,
        saved("X", PAIN),
        saved("Y", OLD),
        saved("Z", CLASSIFICATION),
        saved("W", 99),
        saved("V", 98, "FLAGGED"),
    )
    with pytest.raises(ContractError) as refused:
        import_usagi(file, "Local", maps, concepts)
    assert "3 approved targets" in refused.value.what
    assert all(line in refused.value.what for line in ("Y → 45", "Z → 46", "W → 99"))
    assert "name, of" not in str(refused.value)
    assert not maps.exists()


def test_a_map_is_not_overwritten_unasked(tmp_path: Path, maps: Path, concepts: Path) -> None:
    import_usagi(usagi_file(tmp_path, saved("X", PAIN), saved("Y", PAIN)), "Local", maps, concepts)
    second = usagi_file(tmp_path, saved("Y", DIABETES), saved("Z", PAIN))
    before = (maps / "local.csv").read_bytes()
    with pytest.raises(UsageError, match=r"local\.csv"):
        import_usagi(second, "Local", maps, concepts)
    assert (maps / "local.csv").read_bytes() == before


def test_adding_keeps_the_other_codes_and_replacing_does_not(tmp_path: Path, maps: Path, concepts: Path) -> None:
    import_usagi(usagi_file(tmp_path, saved("X", PAIN), saved("Y", PAIN)), "Local", maps, concepts)
    second = usagi_file(tmp_path, saved("Y", DIABETES), saved("Z", PAIN))
    report = import_usagi(second, "Local", maps, concepts, add=True)
    assert (report.rows, report.kept) == (2, 1)
    assert mapped(maps, tmp_path, concepts) == {("Local", "X", PAIN), ("Local", "Y", DIABETES), ("Local", "Z", PAIN)}
    import_usagi(second, "Local", maps, concepts, replace=True)
    assert mapped(maps, tmp_path, concepts) == {("Local", "Y", DIABETES), ("Local", "Z", PAIN)}


def test_a_code_that_another_file_maps_is_refused(tmp_path: Path, maps: Path, concepts: Path) -> None:
    """Both files would hold, and the code would silently have two targets."""
    maps.mkdir(parents=True)
    (maps / "by_hand.csv").write_text(
        "source_code,source_vocabulary_id,target_concept_id,invalid_reason\n"
        f"X,Local,{PAIN},\nY,Elsewhere,{PAIN},\nZ,Local,{PAIN},D\n"
    )
    with pytest.raises(ContractError, match=r"by_hand\.csv maps 1 of these codes already: X"):
        import_usagi(usagi_file(tmp_path, saved("X", PAIN), saved("Y", PAIN)), "Local", maps, concepts)
    assert import_usagi(usagi_file(tmp_path, saved("Y", PAIN), saved("Z", PAIN)), "Local", maps, concepts).codes == 2


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("source_code,target_concept_id\n", "X,1\n", "no column sourceCode, conceptId, mappingStatus"),
        (HEADER, saved("", PAIN), "line 2: sourceCode is empty"),
        (HEADER, saved("X", -1), "line 2: .*conceptId no number"),
        (HEADER, saved("X", PAIN, status="UNCHECKED"), "no approved target"),
        (HEADER, "", "no approved target"),
    ],
)
def test_a_file_that_gives_no_map_is_refused(
    header: str, line: str, message: str, tmp_path: Path, maps: Path, concepts: Path
) -> None:
    with pytest.raises(ContractError, match=message):
        import_usagi(usagi_file(tmp_path, line, header=header), "Local", maps, concepts)
    assert not maps.exists()


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, maps: Path, concepts: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        import_usagi(tmp_path / "nowhere.csv", "Local", maps, concepts)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContractError, match="UTF-8"):
        import_usagi(tmp_path / "binary.csv", "Local", maps, concepts)


def test_rows_that_name_another_vocabulary_are_left_out(tmp_path: Path, maps: Path, concepts: Path) -> None:
    """Exported with its vocabulary as additional information, a row knows where it belongs."""
    header = "sourceCode,ADD_INFO:source_vocabulary_id,mappingStatus,conceptId\n"
    file = usagi_file(tmp_path, f"X,Local,APPROVED,{PAIN}\n", f"Y,Elsewhere,APPROVED,{PAIN}\n", header=header)
    report = import_usagi(file, "Local", maps, concepts)
    assert report.rows == 1
    assert dict(report.ignored) == {"of the vocabulary Elsewhere": 1}


@pytest.mark.parametrize("name", ["", "  ", "a name of 21 letters!"])
def test_a_vocabulary_has_a_name_that_the_cdm_can_hold(name: str, tmp_path: Path, maps: Path, concepts: Path) -> None:
    with pytest.raises(UsageError, match="1 to 20 characters"):
        import_usagi(usagi_file(tmp_path, saved("X", PAIN)), name, maps, concepts)


def test_a_usagi_file_that_lies_in_the_folder_counts_as_a_map(tmp_path: Path, maps: Path, concepts: Path) -> None:
    maps.mkdir(parents=True)
    (maps / "Local.csv").write_text(HEADER + saved("X", PAIN) + saved("Y", PAIN, status="UNCHECKED"))
    with pytest.raises(ContractError, match=r"Local\.csv maps 1 of these codes already: X"):
        import_usagi(usagi_file(tmp_path, saved("X", PAIN), saved("Y", PAIN)), "Local", maps, concepts, replace=True)
