"""How many examples a property gets: a share of the profile's (120, or 20 times as many with --long)."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings


def examples(share: float) -> Callable[[Any], Any]:
    """`@examples(0.25)` for a property that takes a quarter of a second per example; the clock never fails it."""

    def decorate(test: Any) -> Any:
        # the profile is loaded by tests/conftest.py before test modules are imported
        count = max(1, int(settings().max_examples * share))
        return settings(
            max_examples=count,
            deadline=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.function_scoped_fixture,
            ],
        )(test)

    return decorate
