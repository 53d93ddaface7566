"""Landing: source files → immutable Parquet batches, and the current state of each table."""

from etl.config import Settings
from etl.errors import UsageError
from etl.land.batches import LandedBatch, batch_path, land_batch
from etl.land.contract import NAME, Contract, SourceColumn, SourceTable, read_contract
from etl.land.current import Earlier, batches_by_table, business_date, current_tables, kept_batches
from etl.land.database import Extracted, as_extracted, extract_database
from etl.land.folder import LandingPlan, LandingResult, content_hash, land_folder, plan_folder, read_folder
from etl.land.landed import landed_columns

__all__ = [
    "Contract",
    "Earlier",
    "Extracted",
    "LandedBatch",
    "LandingPlan",
    "LandingResult",
    "SourceColumn",
    "SourceTable",
    "as_extracted",
    "batch_path",
    "batches_by_table",
    "business_date",
    "content_hash",
    "current_tables",
    "extract_database",
    "kept_batches",
    "land_batch",
    "land_folder",
    "landed_columns",
    "load_contract",
    "plan_folder",
    "read_contract",
    "read_folder",
]


def load_contract(settings: Settings, source: str) -> Contract:
    """The contract of a source, from sources/<source>/tables.yml. UsageError: not a source's name."""
    if not NAME.fullmatch(source):
        raise UsageError("A source's name is made of letters, digits and underscores.")
    shown = f"sources/{source}/tables.yml"
    return read_contract(settings.sources_dir / source / "tables.yml", shown)
