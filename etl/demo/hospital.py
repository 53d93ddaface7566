"""Write the demo hospital: the same number of patients and the same seed give the same bytes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from etl.demo import billing, extras, faults, institutions, records, treatment
from etl.demo.columns import Text, take
from etl.demo.encounters import make_encounters
from etl.demo.files import HospitalFiles
from etl.demo.people import CUTOFF_DAY, make_people

DEFAULT_PATIENTS = 1000
DEFAULT_SEED = 20260630
# About 500 rows and 100 KB of text per patient: a chunk needs some 300 MB while it is written.
CHUNK_PATIENTS = 1000
MANIFEST = "manifest.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoManifest:
    """What was written: data rows by file (broken ones included), and the broken ones by file and kind."""

    patients: int
    seed: int
    cutoff_date: str
    rows: dict[str, int]
    malformed: dict[str, dict[str, int]]


def write_hospital(
    folder: Path, patients: int = DEFAULT_PATIENTS, seed: int = DEFAULT_SEED, progress: Progress | None = None
) -> DemoManifest:
    """Write 18 files in the layout of Synthea 3.3 and manifest.json to `folder`; existing ones are replaced.

    `progress` is told (patients done, all patients). Memory does not grow with the number of patients;
    10,000 of them take about 20 s and 1.2 GB of disk.
    """
    known = institutions.make_institutions(np.random.default_rng([seed, 0]))
    malformed: dict[str, dict[str, int]] = {}
    with HospitalFiles(folder) as files:
        _write_institutions(files, known, np.random.default_rng([seed, 1]))
        for first in range(0, patients, CHUNK_PATIENTS):
            count = min(CHUNK_PATIENTS, patients - first)
            chunk = _chunk(np.random.default_rng([seed, 2, first]), count, known)
            for name, columns in chunk.items():
                files.append(name, columns)
            if first == 0:
                malformed = _write_faults(files, chunk, faults.repeats(patients))
            if progress:
                progress(first + count, patients)
        rows = dict(files.rows)
    manifest = DemoManifest(patients, seed, str(np.datetime64(CUTOFF_DAY, "D")), rows, malformed)
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return manifest


def _write_institutions(files: HospitalFiles, known: institutions.Institutions, rng: np.random.Generator) -> None:
    files.append("organizations", institutions.organization_columns(rng, known))
    files.append("providers", institutions.provider_columns(rng, known))
    files.append("payers", institutions.payer_columns(known))


def _write_faults(
    files: HospitalFiles, chunk: Mapping[str, Mapping[str, Text]], times: int
) -> dict[str, dict[str, int]]:
    written = {name: files.append_faults(name, columns, times) for name, columns in chunk.items()}
    return {name: kinds for name, kinds in written.items() if kinds}


def _chunk(rng: np.random.Generator, count: int, known: institutions.Institutions) -> dict[str, Mapping[str, Text]]:
    """The columns of the 15 files that grow with the patients. The order of the draws is part of the format."""
    people = make_people(rng, count, len(institutions.CITIES), len(institutions.PAYERS))
    encounters = make_encounters(rng, people)
    drugs = treatment.make_medications(rng, people, encounters)
    observations = records.make_observations(rng, encounters)
    procedures = records.make_procedures(rng, encounters)
    claims = billing.make_claims(rng, encounters, drugs)
    number = treatment.provider_of(encounters, len(known.providers))
    provider = take(known.providers, number)
    organization = take(known.organizations, number % len(known.organizations))
    return {
        "patients": institutions.patient_columns(rng, people),
        "encounters": treatment.encounter_columns(people, encounters, known.payers, organization, provider),
        "conditions": treatment.condition_columns(rng, people, encounters),
        "medications": treatment.medication_columns(people, encounters, known.payers, drugs),
        "observations": records.observation_columns(rng, people, encounters, observations),
        "procedures": records.procedure_columns(people, encounters, procedures),
        "immunizations": records.immunization_columns(rng, people, encounters),
        "allergies": extras.allergy_columns(rng, people, encounters),
        "careplans": extras.careplan_columns(rng, people, encounters),
        "devices": extras.device_columns(rng, people, encounters),
        "supplies": extras.supply_columns(rng, people, encounters),
        "imaging_studies": extras.imaging_columns(rng, people, encounters, procedures),
        "payer_transitions": billing.payer_transition_columns(rng, people, known.payers),
        "claims": billing.claim_columns(people, encounters, claims, known.payers, provider),
        "claims_transactions": billing.transaction_columns(rng, people, encounters, claims, provider, organization),
    }
