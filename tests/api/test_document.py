"""The API against its own OpenAPI document: generated requests, and whatever comes back fits it."""

import os
from collections.abc import Iterator

import pytest
from schemathesis.openapi.checks import UnsupportedMethodResponse  # noqa: F401

from deploy.embedded import Services
from tests.api.served import Server

EXAMPLES = int(os.environ.get("API_EXAMPLES", "3"))


@pytest.fixture(scope="module")
def running(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    raise NotImplementedError
