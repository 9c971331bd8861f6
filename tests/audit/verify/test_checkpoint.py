"""Checkpoints: signed, chained, published; they prove events, and find what the log has lost."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from audit import check_proof, publish
from audit.checkpoint import read
from audit.verify import verify
from deploy.embedded import Services
from ledger.application import Ledger
from ledger.settings import load_settings
from ledger.sharding import shard_of
from projections.runner import Runner
from schemas.inputs import InputEvent
from tests.crash.plays import everything_in
from tests.databases import copied
from tests.ledger.events import PARTITIONS, SHARDS, direct, purchase
from tests.projections.history import TABLES
from tests.streams.workers import Finished, Stage

Owner = psycopg.Connection[Any]

CHECKER = Path(check_proof.__file__)


def points(url: str, *arguments: object, bootstrap: str = "localhost:1") -> Finished:
    return Stage(url, bootstrap).points("audit", *map(str, arguments))


def told(done: Finished) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def append(url: str, *events: InputEvent) -> None:
    async def do() -> None:
        settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
        ledger = await Ledger.open(settings)
        await ledger.handle(direct(*events))
        await ledger.close()

    asyncio.run(do())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key."""
    folder = tmp_path_factory.mktemp("keys")
    private, public = folder / "own.key", folder / "own.pub"
    told(points("postgresql://nowhere", "keygen", private, public, "--json"))
    return private, public


@pytest.fixture
def make(url: str, keys: tuple[Path, Path], tmp_path: Path) -> Callable[[], Path]:
    """Makes a checkpoint of the ledger; its file."""

    def made() -> Path:
        done = points(
            url, "checkpoint", "--out", tmp_path / "out", "--key", keys[0], "--no-kafka", "--json"
        )
        return Path(told(done)["file"])

    return made


def test_keys_are_kept_safe(keys: tuple[Path, Path], url: str, tmp_path: Path) -> None:
    private, public = keys
    assert private.stat().st_mode & 0o777 == 0o600
    assert "[key_exists]" in points(url, "keygen", private, tmp_path / "other.pub").stderr
    seen = tmp_path / "seen.key"
    shutil.copy(private, seen)
    os.chmod(seen, 0o640)
    for file, code in ((seen, "key_not_private"), (public, "key_not_private"), (None, "no_key")):
        key = ("--key", file) if file is not None else ()
        done = points(url, "checkpoint", "--out", tmp_path, *key, "--no-kafka")
        assert f"[{code}]" in done.stderr
    os.chmod(seen, 0o600)
    seen.write_bytes(public.read_bytes())
    done = points(url, "checkpoint", "--out", tmp_path, "--key", seen, "--no-kafka")
    assert "[bad_key]" in done.stderr


def test_a_checkpoint_continues_the_one_before(
    url: str, make: Callable[[], Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    first = read(make()).content
    append(url, purchase("m1", "c1", at=110), purchase("m3", "c2", at=110))
    second = read(make()).content
    assert (first.number, second.number) == (1, 2)
    assert sum(a.position for a in second.shards) > sum(a.position for a in first.shards)
    # From the first event on, without the one before: the same trees.
    done = points(
        url, "checkpoint", "--out", tmp_path / "anew", "--key", keys[0], "--no-kafka", "--json"
    )
    assert read(Path(told(done)["file"])).content.shards == second.shards
    place = ("--checkpoint", tmp_path / "out", "--public-key", keys[1])
    done = points(url, "verify", "--jobs", "1", "--no-read-models", *place)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "out" / "checkpoint-00000002.json"
    file.write_text(file.read_text().replace('"number": 2', '"number": 3'))
    for broken, word in ((file, "signed"), (tmp_path / "out", "checkpoint-00000002")):
        done = points(url, "verify", "--checkpoint", broken, "--public-key", keys[1])
        assert "[bad_checkpoint]" in done.stderr
        assert word in done.stderr


def test_every_event_is_proved(
    url: str, owner: Owner, make: Callable[[], Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint = json.loads(make().read_bytes())
    for shard, position, type_name, member in owner.execute(
        "SELECT shard, position, type, member_id FROM ledger.events WHERE shard IN (-1, 0)"
    ).fetchall():
        file = tmp_path / "proof.json"
        place = f"{shard}:{position}"
        out = tmp_path / "out" / "checkpoint-00000001.json"
        if shard < 0:
            place = f"--checkpoint={out}", "--", place  # type: ignore[assignment]
            done = points(url, "prove", *place)
            proof = told(done)
        else:
            done = points(url, "prove", place, "--checkpoint", out, "--out", file)
            assert done.returncode == 0, done.stderr
            proof = json.loads(file.read_bytes())
        event = check_proof.check(proof, checkpoint, keys[1].read_bytes())
        assert (event["shard"], event["position"]) == (shard, position)
        assert (event["type"], event["member_id"]) == (type_name, member)
        assert event["payload"]["type"] == type_name


def test_a_proof_is_checked_far_from_the_ledger(
    url: str, make: Callable[[], Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """In an empty folder, by a Python that finds nothing of ours."""
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(CHECKER, empty / "check_proof.py")
    shutil.copy(make(), empty / "checkpoint.json")
    shutil.copy(keys[1], empty / "own.pub")
    told(points(url, "keygen", tmp_path / "x.key", empty / "other.pub", "--json"))
    proof = empty / "proof.json"
    done = points(url, "prove", "0:7", "--checkpoint", empty / "checkpoint.json", "--out", proof)
    assert done.returncode == 0, done.stderr

    def check(key: str = "own.pub", **changed: Any) -> subprocess.CompletedProcess[str]:
        whole = {name: json.loads((empty / f"{name}.json").read_text())
                 for name in ("proof", "checkpoint")}  # fmt: skip
        for place, value in changed.items():
            name, _, field = place.partition("_")
            inside = whole[name] if name == "proof" else whole[name]["content"]
            inside[field] = value(inside[field])
        for name, content in whole.items():
            (empty / f"{name}-changed.json").write_text(json.dumps(content))
        command = [sys.executable, "-I", "check_proof.py"]
        files = ["proof-changed.json", "checkpoint-changed.json", key]
        return subprocess.run(
            [*command, *files], cwd=empty, capture_output=True, text=True, check=False, timeout=300
        )

    right = check()
    assert right.returncode == 0, right.stderr
    assert json.loads(right.stdout)["position"] == 7
    for wrong in (
        check(key="other.pub"),
        check(proof_row=lambda row: row[:-8] + "AAAA" + row[-4:]),
        check(proof_previous=lambda previous: "00" + previous[2:]),
        check(proof_path=lambda path: path[::-1]),
        check(proof_path=lambda path: path[1:]),
        check(proof_ledger_id=lambda _: "another"),
        check(checkpoint_number=lambda number: number + 1),
        check(checkpoint_shards=lambda shards: shards[:1]),
    ):
        assert wrong.returncode == 1
        assert wrong.stderr.startswith("NOT PROVED")
    late = points(url, "prove", "0:9999", "--checkpoint", empty / "checkpoint.json")
    assert "[not_covered]" in late.stderr
    assert (
        "[bad_place]"
        in points(url, "prove", "here", "--checkpoint", empty / "checkpoint.json").stderr
    )


# --- what the log has lost ------------------------------------------------------------------------


def findings(url: str, checkpoints: Path, public: Path) -> set[tuple[str, int]]:
    done = points(url, "verify", "--jobs", "1", "--json",
                  "--checkpoint", checkpoints, "--public-key", public)  # fmt: skip
    report = json.loads(done.stdout)
    found = {(f["code"], shard["shard"]) for shard in report["shards"] for f in shard["findings"]}
    assert done.returncode == (1 if found else 0)
    return found


def test_a_tail_cut_off_with_all_that_told_of_it_is_found(
    url: str, owner: Owner, make: Callable[[], Path], keys: tuple[Path, Path]
) -> None:
    append(url, purchase("m3", "cut", at=120))
    folder = make().parent
    assert findings(url, folder, keys[1]) == set()
    shard = shard_of("m3", SHARDS)
    for change in (
        (
            "DELETE FROM ledger.inputs WHERE shard = {0} AND position = (SELECT position FROM"
            " ledger.heads WHERE shard = {0})"
        ),
        (
            "DELETE FROM ledger.events WHERE shard = {0} AND position = (SELECT position FROM"
            " ledger.heads WHERE shard = {0})"
        ),
        (
            "UPDATE ledger.heads h SET position = e.position, hash = e.hash FROM ledger.events e"
            " WHERE h.shard = {0} AND e.shard = {0} AND e.position = h.position - 1"
        ),
        ("TRUNCATE " + ", ".join(f"read.{table}" for table in TABLES)),
    ):
        owner.execute(change.format(shard).encode())
    Runner(url).run(until_caught_up=True)
    assert verify(url, jobs=1).ok, "what is left is whole in itself"
    assert findings(url, folder, keys[1]) == {("checkpoint_ahead", shard)}
    done = points(url, "checkpoint", "--out", folder, "--key", keys[0], "--no-kafka")
    assert "[not_held]" in done.stderr


def test_an_older_backup_that_was_restored_is_found(
    server: str, admin: Owner, written: str, url: str, make: Callable[[], Path],
    keys: tuple[Path, Path],
) -> None:  # fmt: skip
    append(url, purchase("m1", "after-the-backup", at=121))
    folder = make().parent
    shard = shard_of("m1", SHARDS)
    with copied(server, admin, written) as backup:
        assert verify(backup, jobs=1).ok, "what was restored is whole in itself"
        assert findings(backup, folder, keys[1]) == {("checkpoint_ahead", shard)}
        append(backup, *(purchase("m1", f"other-{n}", at=122) for n in range(3)))
        assert verify(backup, jobs=1).ok
        assert findings(backup, folder, keys[1]) == {("checkpoint_differs", shard)}


def test_a_declared_restore_goes_on(
    server: str, admin: Owner, written: str, url: str, make: Callable[[], Path],
    keys: tuple[Path, Path],
) -> None:  # fmt: skip
    declare = ("declare-restore", "--actor", "dba-2", "--reason", "INC-481", "--json")
    early = make()
    append(url, purchase("m1", "lost-1", at=123), purchase("m3", "lost-2", at=123))
    folder = make().parent
    assert "[nothing_lost]" in points(url, *declare, "--checkpoint", folder).stderr
    making = ("checkpoint", "--out", folder, "--key", keys[0], "--no-kafka", "--json")
    with copied(server, admin, written) as backup:
        done = told(points(backup, *declare, "--checkpoint", folder))
        lost = {shard: had - has for shard, has, had in done["lost"]}
        assert sum(lost.values()) >= 2
        assert lost.keys() == {shard_of(member, SHARDS) for member in ("m1", "m3")}
        assert "[declared_already]" in points(backup, *declare, "--checkpoint", folder).stderr
        assert findings(backup, folder, keys[1]) == set()
        # Who has the earlier checkpoint alone knows of no restore after it, and it is held.
        assert findings(backup, early, keys[1]) == set()
        append(backup, purchase("m1", "after", at=124))
        assert told(points(backup, *making))["number"] == 3
        assert findings(backup, folder, keys[1]) == set()
        done = points(backup, "verify", "--jobs", "1", "--checkpoint", folder)
        assert "dba-2 declared that a backup from before checkpoint 2 was restored" in done.stdout
        out = folder / "checkpoint-00000003.json"
        proof = told(points(backup, "prove", f"{shard_of('m1', SHARDS)}:2", "--checkpoint", out))
        check_proof.check(proof, json.loads(out.read_bytes()), keys[1].read_bytes())
        # What is lost after the declaration is not declared.
        with psycopg.connect(backup, autocommit=True) as session:
            session.execute("DELETE FROM ledger.events WHERE type = 'RestoreDeclared'")
        assert {code for code, _ in findings(backup, folder, keys[1])} >= {
            "log_ends_early", "checkpoint_ahead",
        }  # fmt: skip


def test_a_damaged_log_gets_no_checkpoint(
    url: str, owner: Owner, make: Callable[[], Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    owner.execute("UPDATE ledger.events SET version = 77 WHERE (shard, position) = (0, 4)")
    done = points(url, "checkpoint", "--out", tmp_path / "out", "--key", keys[0], "--no-kafka")
    assert "[log_damaged]" in done.stderr
    assert "position 4" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


# --- Kafka ----------------------------------------------------------------------------------------


def test_checkpoints_are_published_in_order_and_made_up_for(
    url: str, services: Services, keys: tuple[Path, Path], tmp_path: Path,
    make: Callable[[], Path], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    topic = f"checkpoints-{tmp_path.name}"
    monkeypatch.setattr(publish, "CHECKPOINTS", topic)
    monkeypatch.setattr(publish, "_PARTITION", TopicPartition(topic, 0))
    make()  # Kafka did not hear of it
    bootstrap = services.kafka_bootstrap
    publishing = ("checkpoint", "--out", tmp_path / "out", "--key", keys[0], "--json")
    assert told(points(url, *publishing, bootstrap=bootstrap))["published"] == 2
    assert told(points(url, *publishing, bootstrap=bootstrap))["published"] == 1
    monkeypatch.setattr("tests.crash.plays.KAFKA_PARTITIONS", 1)
    values = asyncio.run(everything_in(bootstrap, topic))
    files = sorted((tmp_path / "out").iterdir())
    assert values == [file.read_bytes() for file in files]
    asyncio.run(_delete(bootstrap, topic))
    done = points(url, *publishing)  # no Kafka there
    assert "[not_published]" in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 4, "it is in its folder all the same"


async def _delete(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.delete_topics([topic])
    await admin.close()
