"""What a gate found, for people and for OHDSI's tools: a page, and DQD's result JSON. Pure: no database."""

from etl.quality.report.compare import Comparison, compare
from etl.quality.report.dqd import DqdFacts, dqd_facts, dqd_json
from etl.quality.report.model import QualityReport, Quarantined, ReleaseCounts
from etl.quality.report.page import quality_page

__all__ = [
    "Comparison",
    "DqdFacts",
    "QualityReport",
    "Quarantined",
    "ReleaseCounts",
    "compare",
    "dqd_facts",
    "dqd_json",
    "quality_page",
]
