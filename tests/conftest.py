"""Fixtures that all tests share."""

from hypothesis import settings

pytest_plugins = ["tests.services"]

# An example that takes longer says something about the machine's other work, not about the code.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
