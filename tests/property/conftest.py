"""One database for all properties, and how many examples a property gets."""

from collections.abc import Iterator

import pytest
from modelled import Modeller, modeller


@pytest.fixture(scope="session")
def models() -> Iterator[Modeller]:
    with modeller() as opened:
        yield opened
