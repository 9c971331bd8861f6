"""Programs: what is published, what a check says, publishing; jobs from beginning to end."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api import jobs as jobs_module
from api.jobs import Job, Jobs
from api.problems import Problem
from ledger.core.program.canonical import version_of
from ledger.core.program.load import load_program
from tests.api.reads.conftest import PERSON_HEADER, SCOPES_HEADER, Asking
from tests.api.reads.test_members import get
from tests.audit.logs import program_with_everything
from tests.ledger.conftest import PROGRAM

JOB_SECONDS = 240
"""A process that begins and folds a small log takes three; the machine may be busy."""

TEXT = PROGRAM.read_text(encoding="utf-8")

LATER = TEXT.replace("2017-01-01T00:00:00Z", "2018-06-01T00:00:00Z")
YAML = {"Content-Type": "application/yaml"}


def test_versions_are_listed_and_shown_in_both_forms(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        rows = (await get(client, "/programs"))["items"]
        assert [row["effective_from"] for row in rows] == [
            "2017-10-29T12:00:00Z",
            "2017-01-01T00:00:00Z",
        ]
        assert [row["in_force"] for row in rows] == [True, False]
        oldest = rows[-1]["version"]
        assert oldest == version_of(program_with_everything())
        shown = await get(client, f"/programs/{oldest[:8]}")
        assert (shown["version"], shown["content"]["program"]) == (oldest, "tests")
        yaml = await client.get(
            f"/v1/programs/{oldest}", headers={"Accept": "application/yaml, application/json;q=0.5"}
        )
        assert yaml.headers["content-type"].startswith("application/yaml")
        assert version_of(load_program(yaml.text, "shown")) == oldest
        unknown = await client.get("/v1/programs/0000")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_version")
        for strange in ("abc", "zzzz", "a" * 65):
            assert (await client.get(f"/v1/programs/{strange}")).status_code == 422

    asking(test)


def test_a_check_tells_every_problem_with_its_place(asking: Asking) -> None:
    broken = TEXT.replace("rounding: floor", "rounding: up\nmistake: 1")

    async def test(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/program-checks", content=broken, headers=YAML)
        told = answer.json()
        assert (answer.status_code, told["ok"]) == (200, False)
        assert {each["path"] for each in told["problems"]} == {"rounding", "mistake"}
        assert all(each["line"] > 1 and each["message"] for each in told["problems"])
        fine = await client.post("/v1/program-checks", json={"text": LATER})
        assert fine.json()["version"] == version_of(load_program(LATER, "later"))
        assert fine.json()["published"] is False
        key = {"Idempotency-Key": "p0"}
        refused = await client.post("/v1/programs", content=broken, headers={**YAML, **key})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_program")
        for content, kind, code in (
            ("a\x00b", "application/yaml", None),
            (b"\xff", "application/yaml", "not_utf8"),
            (LATER, "text/plain", "content_type"),
            ("{}", "application/json", "invalid_field"),
            ("{", "application/json", "not_json"),
            ('{"text": "x", "more": 1}', "application/json", "invalid_field"),
        ):
            headers = {"Content-Type": kind}
            answer = await client.post("/v1/program-checks", content=content, headers=headers)
            if code is None:
                assert answer.json()["ok"] is False
            else:
                assert answer.json()["code"] == code, answer.text

    asking(test)


def test_a_published_program_is_in_force_once_another_person_approves(changing: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        key = {**YAML, "Idempotency-Key": "p1"}
        asked = await client.post("/v1/programs", content=LATER, headers=key)
        assert (asked.status_code, asked.json()["state"]) == (202, "open")
        assert len((await get(client, "/programs"))["items"]) == 2
        approve = f"{asked.headers['location']}/approve"
        assert (await client.post(approve)).json()["code"] == "same_person"
        done = await client.post(approve, headers={PERSON_HEADER: "bob"})
        assert done.json()["state"] == "done", done.text
        version = version_of(load_program(LATER, "later"))
        rows = (await get(client, "/programs", limit=1))["items"]
        assert (rows[0]["version"], rows[0]["in_force"]) == (version, True)
        checked = await client.post("/v1/program-checks", json={"text": LATER})
        assert checked.json()["published"] is True
        scope = {SCOPES_HEADER: "programs:read"}
        for path in ("/v1/programs", "/v1/program-checks", "/v1/backtests"):
            forbidden = await client.post(path, json={"text": LATER}, headers={**key, **scope})
            assert forbidden.status_code == 403

    changing(test)


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + JOB_SECONDS
    while True:
        job = await get(client, f"/jobs/{job_id}")
        if job["ended_at"] is not None:
            return job
        assert time.monotonic() < deadline, job
        await asyncio.sleep(0.1)


def test_a_backtest_is_a_job_with_progress_and_a_result(asking: Asking) -> None:
    other = TEXT.replace("{points: 1, per_amount: 100}", "{points: 2, per_amount: 100}")

    async def test(client: httpx.AsyncClient) -> None:
        begun = await client.post("/v1/backtests", json={"text": other, "sample": 100})
        assert begun.status_code == 202, begun.text
        assert begun.json()["state"] in ("queued", "running")
        assert begun.headers["location"] == f"/v1/jobs/{begun.json()['id']}"
        job = await ended(client, begun.json()["id"])
        assert job["state"] == "done", job["error"]
        assert 0 < job["total"] == job["done"]
        assert job["result"]["version"] == version_of(load_program(other, "other"))
        assert job["result"]["after"]["granted"] > job["result"]["before"]["granted"]
        assert (job["by"], job["asked"]["sample"]) == ("ann", 100)
        (row,) = (await get(client, "/jobs"))["items"]
        assert "result" not in row
        key = {SCOPES_HEADER: "programs:read"}
        path = f"/v1/jobs/{job['id']}"
        assert (await client.get(path, headers=key)).status_code == 200
        assert (await client.post(f"{path}/stop", headers=key)).status_code == 403
        key = {SCOPES_HEADER: "operations:read"}
        assert (await client.get(path, headers=key)).status_code == 403
        refused = await client.post(
            "/v1/backtests", json={"text": other, "since": "2999-01-01T00:00:00Z"}
        )
        failed = await ended(client, refused.json()["id"])
        assert (failed["state"], failed["error"]["code"]) == ("failed", "empty_range")
        bad = await client.post("/v1/backtests", json={"text": other, "since": "soon"})
        assert (bad.status_code, bad.json()["code"]) == (422, "bad_time")

    asking(test)


async def backtest(client: httpx.AsyncClient, person: str) -> httpx.Response:
    headers = {PERSON_HEADER: person}
    return await client.post("/v1/backtests", json={"text": TEXT}, headers=headers)


def test_a_job_that_waits_and_one_that_runs_are_stopped(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        ids = []
        for number in range(jobs_module.AT_ONCE + jobs_module.WAITING_MAX):
            begun = await backtest(client, f"p{number // jobs_module.WAITING_EACH_MAX}")
            ids.append(begun.json()["id"])
        full = await backtest(client, "somebody-else")
        assert (full.status_code, full.json()["code"]) == (429, "too_many_jobs")
        for job_id in reversed(ids):
            stopped = await client.post(f"/v1/jobs/{job_id}/stop")
            assert stopped.status_code == 200
            assert stopped.json()["state"] in ("stopped", "done")
        assert stopped.json()["state"] == "stopped", "it had just begun"
        again = await client.post(f"/v1/jobs/{ids[0]}/stop")
        assert again.json() == stopped.json()
        nothing = await client.post(f"/v1/jobs/{'0' * 32}/stop")
        assert (nothing.status_code, nothing.json()["code"]) == (404, "unknown_job")

    asking(test)


def test_one_caller_does_not_fill_the_queue(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        own = [await backtest(client, "ann") for _ in range(1 + jobs_module.WAITING_EACH_MAX + 1)]
        assert [answer.status_code for answer in own] == [202] * (len(own) - 1) + [429]
        assert own[-1].json()["code"] == "too_many_own_jobs"
        other = await backtest(client, "bob")
        assert other.status_code == 202
        stopped = await client.post(f"/v1/jobs/{own[-2].json()['id']}/stop")
        assert stopped.json()["state"] == "stopped"
        assert (await backtest(client, "ann")).status_code == 202

    asking(test)


def test_what_the_end_of_the_api_broke_off_is_told_as_interrupted(
    folded: str, tmp_path: Path
) -> None:
    async def begin(*, kill: bool) -> str:
        jobs = Jobs(tmp_path, folded)
        jobs.open()
        job = jobs.submit("verify", {"read_models": True}, "ann")
        assert job.state == "running"
        if kill:  # as a killed process leaves it: nothing was written at the end
            kept = (tmp_path / f"{job.id}.json").read_bytes()
            await jobs.close()
            (tmp_path / f"{job.id}.json").write_bytes(kept)
            assert msgspec.json.decode(kept, type=Job).state == "running"
        else:
            await jobs.close()
        return job.id

    async def look(job_id: str) -> Job | None:
        jobs = Jobs(tmp_path, folded)
        jobs.open()
        try:
            other = Jobs(tmp_path, folded)
            other.open()  # of a second process
            with pytest.raises(Problem) as refused:
                other.submit("verify", {"read_models": True}, "ann")
            assert refused.value.code == "no_jobs_here"
            return jobs.get(job_id)
        finally:
            await jobs.close()

    for kill in (True, False):
        found = asyncio.run(look(asyncio.run(begin(kill=kill))))
        assert found is not None
        assert found.error is not None
        assert (found.state, found.error.code) == ("failed", "interrupted")


def test_jobs_are_kept_up_to_a_number(
    folded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "KEPT_MAX", 2)

    async def test() -> None:
        jobs = Jobs(tmp_path, folded)
        jobs.open()
        try:
            made = [jobs.submit("verify", {"read_models": True}, f"p{n}") for n in range(5)]
            for job in reversed(made):
                await jobs.stop(job)
            assert len(jobs.all()) == 2
        finally:
            await jobs.close()

    asyncio.run(test())
    assert len(list(tmp_path.glob("*.json"))) == 2
