"""`python -m etl.demo --patients 10000 --output DIR`: write the demo hospital."""

import argparse
import sys
from pathlib import Path

from etl.demo.hospital import DEFAULT_PATIENTS, DEFAULT_SEED, write_hospital


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m etl.demo", description="Write an invented hospital's files.")
    parser.add_argument("--patients", type=int, default=DEFAULT_PATIENTS)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    manifest = write_hospital(arguments.output, arguments.patients, arguments.seed, _show)
    sys.stderr.write(f"\n{sum(manifest.rows.values()):,} rows in {arguments.output}\n")


def _show(done: int, patients: int) -> None:
    sys.stderr.write(f"\r{done:,} of {patients:,} patients")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
