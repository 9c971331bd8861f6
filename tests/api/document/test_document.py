"""The API against its own OpenAPI document: thousands of generated requests, alone and in a row;
whatever comes back must be what the document says, and never a bug.

Two checks are left out, for the document cannot say what the program's rules refuse: whether all
that fits it is accepted, and whether all that does not is refused.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded import Services
from tests.api.served import Server, key_of

CASES_MIN = 2_000
EXAMPLES = 10
"""Of each operation in each phase, beside those that cover the document's bounds."""

SECONDS_MAX = 3_000

SCOPES = (
    *("preview", "redeem", "purchases", "ingest", "transfer", "adjust", "webhooks"),
    *("members:read", "members:write", "members:standing", "members:erase"),
    *("programs:read", "programs:write", "proposals:read", "reports:read"),
    *("operations:read", "operations:write", "audit:read"),
)


@pytest.mark.long
def test_every_operation_keeps_to_the_document(
    ledger_url: str, services: Services, api_topics: str, tmp_path: Path
) -> None:
    key = key_of(ledger_url, api_topics, "generated", *SCOPES)
    with (tmp_path / "log").open("wb") as log:
        server = Server(ledger_url, services.kafka_bootstrap, log)
        server.start()
        try:
            ended = subprocess.run(
                [str(Path(sys.executable).with_name("schemathesis")),
                 "run", f"{server.url}/openapi.json", "--checks", "all", "--no-color",
                 "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
                 "--max-examples", str(EXAMPLES), "--continue-on-failure",
                 "--exclude-path-regex", "^/v1/keys", "-H", f"Authorization: Bearer {key}"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )  # fmt: skip
        finally:
            server.kill()
    (tmp_path / "told").write_text(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-20_000:]
    cases = re.search(r"([\d,]+) generated", ended.stdout)
    assert cases is not None
    assert int(cases[1].replace(",", "")) >= CASES_MIN
    assert "request failed" not in (tmp_path / "log").read_text()
