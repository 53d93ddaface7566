"""The steps of a run and their order, derived from what the SQL files read.

A step is what Airflow shows as a task and the command line as a line: one per group of source models, one per CDM
domain, since a task costs about a second.
"""

from dataclasses import dataclass, replace
from functools import cache

from etl.pipeline.models import Model, in_order, models

GROUPS = ("land", "vocabulary", "source", "map", "cdm", "derive", "gate", "publish")

SOURCE_STEPS = {
    "src_people": ("src_person", "src_person_merge", "src_death"),
    "src_places": ("src_location", "src_care_site", "src_provider"),
    "src_visits": ("src_visit", "src_visit_detail"),
    "src_events": ("src_event", "src_note", "src_relationship"),
    "src_payments": ("src_payer_plan", "src_cost"),
}
MAP_STEPS = {
    "map_person": ("person_merge", "person", "death"),
    "map_codes": ("source_code", "map_source_code"),
    "map_places": ("location", "care_site", "provider"),
    "map_visits": ("visit_kind", "encounter", "stitched", "visit", "visit_detail", "visit_key"),
    "map_events": ("event",),
    "map_ledger": ("excluded", "merged", "flagged"),
    "map_payer_plan": ("payer_plan_row", "payer_plan"),
}
CDM_STEPS = {
    "health_system": ("location", "care_site", "provider"),
    "person": ("person", "death"),
    "visit": ("visit_occurrence", "visit_detail"),
    "payments": ("payer_plan_period", "cost"),
    "about_the_cdm": ("cdm_source", "metadata"),
    "drug_eras": ("drug_era", "dose_era"),
}
ACCOUNT_STEPS: dict[str, tuple[str, ...]] = {"account": ("row_account",)}
HELP = {
    "land": "Land the source files as immutable Parquet batches; malformed rows go to rejects.",
    "landing_gate": "Great Expectations on the landed tables.",
    "load_vocabulary": "Read the Athena bundle into Parquet, or find that this version is there.",
    "person_ids": "Give each new person the next small integer; known persons keep theirs.",
    "account": "Account for every landed row: in the CDM, excluded by a named rule, or missing.",
    "mapping_coverage": "Count per source column which codes and rows are mapped; write the report's page and CSV.",
    "gate": "Count violations of every check, let Great Expectations judge, write the report.",
    "drift_gate": "Compare with the last release: rows, persons, months, mapped shares, concepts, failed checks.",
    "publish_vocabulary": "Load this vocabulary version into PostgreSQL, once.",
    "publish": "Load the release, reconcile it, repoint all views in one transaction.",
}


@dataclass(frozen=True)
class Step:
    """A step: its group (the stage), the steps before it, the models it runs in order (none for other work)."""

    name: str
    group: str
    upstream: tuple[str, ...]
    help: str
    models: tuple[str, ...] = ()


def _step_of(table: str, groups: dict[str, tuple[str, ...]], otherwise: str) -> str:
    return next((step for step, members in groups.items() if table in members), otherwise)


def _assigned(source: str) -> dict[str, list[Model]]:
    """Models by step name."""
    steps: dict[str, list[Model]] = {}
    for model in models(source).values():
        table = model.name.split(".")[1]
        if model.stage == "2_source":
            name = _step_of(table, SOURCE_STEPS, "src_ledger")
        elif model.stage == "3_map":
            name = _step_of(table, MAP_STEPS, f"map_{table}")
        elif model.stage == "6_account":
            name = _step_of(table, ACCOUNT_STEPS, table)
        else:
            name = _step_of(table, CDM_STEPS, table)
        steps.setdefault(name, []).append(model)
    return steps


def _group(model: Model) -> str:
    return {"2_source": "source", "3_map": "map", "4_cdm": "cdm", "5_derive": "derive", "6_account": "gate"}[
        model.stage
    ]


def _producers(assigned: dict[str, list[Model]]) -> dict[str, str]:
    made_by = {model.name: step for step, members in assigned.items() for model in members}
    return made_by | {"state.person": "person_ids"}


def _upstream(step: str, members: list[Model], made_by: dict[str, str]) -> tuple[str, ...]:
    found = set()
    for name in frozenset[str]().union(*(model.inputs for model in members)):
        schema = name.split(".")[0]
        if name in made_by:
            found.add(made_by[name])
        elif schema == "landing":
            found.add("land")
        elif schema == "run":
            found.update(("land", "load_vocabulary"))
        elif schema in ("vocabulary", "custom"):
            found.add("load_vocabulary")
    return tuple(sorted(found - {step}))


@cache
def steps(source: str) -> tuple[Step, ...]:
    """All steps of a run of this source, each after those it needs."""
    assigned = _assigned(source)
    made_by = _producers(assigned)
    found = [
        Step("land", "land", (), HELP["land"]),
        Step("landing_gate", "land", ("land",), HELP["landing_gate"]),
        Step("load_vocabulary", "vocabulary", (), HELP["load_vocabulary"]),
        Step("publish_vocabulary", "publish", ("load_vocabulary",), HELP["publish_vocabulary"]),
        Step("person_ids", "map", ("src_people",), HELP["person_ids"]),
    ]
    for name, members in assigned.items():
        ordered = in_order(members)
        tables = ", ".join(model.name for model in ordered)
        found.append(
            Step(
                name=name,
                group=_group(members[0]),
                upstream=_upstream(name, members, made_by),
                help=HELP.get(name, f"Make {tables}."),
                models=tuple(model.name for model in ordered),
            )
        )
    candidate = (*sorted(step.name for step in found if step.group in ("cdm", "derive")), "account")
    found.append(Step("gate", "gate", candidate, HELP["gate"]))
    found.append(Step("drift_gate", "gate", ("gate",), HELP["drift_gate"]))
    found.append(Step("publish", "publish", ("drift_gate", "landing_gate", "publish_vocabulary"), HELP["publish"]))
    return _reduced(_sorted(found))


def _reduced(ordered: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without the edges that others imply, so that the graph in Airflow can be read: half of them."""
    before: dict[str, frozenset[str]] = {}
    for step in ordered:
        before[step.name] = frozenset(step.upstream).union(*(before[name] for name in step.upstream))
    return tuple(
        replace(
            step,
            upstream=tuple(name for name in step.upstream if not any(name in before[other] for other in step.upstream)),
        )
        for step in ordered
    )


def _sorted(found: list[Step]) -> tuple[Step, ...]:
    """By group, then so that each step comes after its upstream."""
    done: list[Step] = []
    waiting = sorted(found, key=lambda step: (GROUPS.index(step.group), step.name))
    while waiting:
        names = {step.name for step in waiting}
        ready = next(step for step in waiting if not set(step.upstream) & names)
        done.append(ready)
        waiting.remove(ready)
    return tuple(done)
