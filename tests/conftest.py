"""Fixtures that all tests share, and how Hypothesis looks for examples.

`make test` tells the same of the same code each time: its examples follow from the tests' own
names. Looking for new ones is what the long tests are for, and a run of a single file.
"""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services"]

NOT_LONG = "not long"
"""The marks that `make test` asks for."""

# An example that takes longer says something about the machine's other work, not about the code.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "same-each-time", settings.get_profile("any-machine"), derandomize=True, database=None
)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the profile."""
    same = config.option.markexpr == NOT_LONG
    settings.load_profile("same-each-time" if same else "any-machine")
