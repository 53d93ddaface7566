"""A small bundle to break: files as Athena writes them, one text per table."""

import csv
from pathlib import Path

import duckdb

from etl.cdm import tables


def _athena(table: str, *lines: str) -> str:
    """Tab-separated lines under the table's header; here fields are split by `|`."""
    header = "\t".join(tables()[table].column_names)
    return "".join(line + "\n" for line in (header, *(line.replace("|", "\t") for line in lines)))


BUNDLE = {
    "CONCEPT": _athena(
        "concept",
        "201826|Type 2 diabetes mellitus|Condition|SNOMED|Disorder|S|44054006|20020131|20991231|",
        "1503297|metformin|Drug|RxNorm|Ingredient|S|6809|1970-01-01|2099-12-31|",
        "40164929|metformin hydrochloride 500 MG Oral Tablet|Drug|RxNorm|Clinical Drug|S|861007|20090830|20991231|",
        '45533018|5" needle, "sterile|Device|Local|Thing||D-1|20200101|20991231|D',
    ),
    "CONCEPT_RELATIONSHIP": _athena(
        "concept_relationship",
        "201826|201826|Maps to|19700101|20991231|",
        "201826|999999|Maps to|19700101|20991231|",
    ),
    "CONCEPT_ANCESTOR": _athena("concept_ancestor", "1503297|40164929|2|3"),
    "CONCEPT_SYNONYM": _athena("concept_synonym", "201826|T2DM|4180186"),
    "DRUG_STRENGTH": _athena("drug_strength", "40164929|1503297|500|8576||||||19700101|20991231|"),
    "VOCABULARY": _athena("vocabulary", "None|OMOP Standardized Vocabularies|OMOP generated|v5.0 30-AUG-24|44819096"),
    "DOMAIN": _athena("domain", "Condition|Condition|19"),
    "CONCEPT_CLASS": _athena("concept_class", "Ingredient|Ingredient|44819093"),
    "RELATIONSHIP": _athena("relationship", "Mapped from|Standard to Non-standard map|0|0|Maps to|44818976"),
}


def write_bundle(folder: Path, **changed: str | None) -> Path:
    """The bundle in `folder`; a keyword replaces a file's text, None leaves the file out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**BUNDLE, **changed}.items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
    return folder


def rows(path: Path, table: str, columns: str = "*", where: str = "true") -> list[tuple[object, ...]]:
    """Rows of a loaded table, sorted."""
    return duckdb.sql(f"SELECT {columns} FROM '{path / table}.parquet' WHERE {where} ORDER BY ALL").fetchall()


def unresolved_keys(path: Path) -> dict[str, int]:
    """Foreign keys of the nine tables that do not hold, with the number of rows."""
    found = {}
    for table in BUNDLE:
        for field in tables()[table.lower()].fields:
            if field.foreign_table:
                ((missing,),) = duckdb.sql(
                    f"SELECT count(*) FROM '{path / table.lower()}.parquet' AS t"
                    f" ANTI JOIN '{path / field.foreign_table}.parquet' AS f"
                    f" ON t.{field.name} = f.{field.foreign_field} WHERE t.{field.name} IS NOT NULL"
                ).fetchall()
                if missing:
                    found[f"{table}.{field.name}"] = missing
    return found


def named_ids() -> set[int]:
    file = Path(__file__).parents[3] / "etl" / "vocabulary" / "named_concepts.csv"
    with file.open(encoding="utf-8") as lines:
        return {int(row["concept_id"]) for row in csv.DictReader(lines)}
