"""Where the demo's own files lie."""

from pathlib import Path

CODES = Path(__file__).parent / "codes"


def demo_vocabulary_folder() -> Path:
    """The Athena-layout vocabulary of the concepts that the demo hospital uses."""
    return Path(__file__).parent / "vocabulary"
