"""`{{ concept.ehr_encounter_record }}` and `{{ part.synthea_conditions }}` in SQL files, and nothing else."""

import re
from collections.abc import Mapping

from etl.errors import CdmflowError

PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\.([a-z0-9_]+)\s*\}\}")


def render(sql_text: str, variables: Mapping[str, Mapping[str, object]]) -> str:
    """The SQL with every placeholder replaced by its integer; an unknown name is an error that names it."""

    def value(match: re.Match[str]) -> str:
        space, name = match.groups()
        try:
            return str(int(str(variables[space][name])))
        except KeyError:
            raise CdmflowError(
                f"The SQL names {{{{ {space}.{name} }}}}, which nothing defines.",
                todo="Concepts are named in etl/vocabulary/named_concepts.csv, parts in sources/source_parts.yml.",
            ) from None

    return PLACEHOLDER.sub(value, sql_text)


def names_in(sql_text: str) -> set[tuple[str, str]]:
    """The (space, name) pairs that a SQL text uses."""
    return set(PLACEHOLDER.findall(sql_text))
