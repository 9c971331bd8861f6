"""`points audit keygen`, `checkpoint`, `prove`, `declare-restore`: thin; the work is `audit`'s."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from psycopg import Connection

from audit import checkpoint as checkpoints
from audit.checkpointing import Made, keep_making, make_next, next_at
from audit.errors import AuditRefused
from audit.keys import generate, read_public
from audit.plan import plan_of
from audit.prove import prove as prove_event
from audit.restores import to_declare
from audit.session import connect, one_moment
from cli import logs
from cli.context import open_ledger, print_json, run, settings_of_services
from cli.projections import translated
from ledger.core.calendar import to_instant
from ledger.identity import check_session

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def keygen(
    private: Annotated[Path, typer.Argument(help="File of the key that signs; mode 0600.")],
    public: Annotated[Path, typer.Argument(help="File of the key that checks: publish it.")],
    as_json: AsJson = False,
) -> None:
    """Make the pair of keys for checkpoints.

    Example: `points audit keygen checkpoint.key checkpoint.pub`
    """
    made = generate(private, public)
    if as_json:
        print_json({"key": made, "private": private, "public": public})
        return
    typer.echo(f"key {made}: {private} signs, keep it; {public} checks, publish it")


def checkpoint(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the checkpoints; made if it is not there. Default:"
            " POINTS_CHECKPOINT_DIR."
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The private key. Default: POINTS_CHECKPOINT_KEY.")
    ] = None,
    kafka: Annotated[bool, typer.Option(help="Publish to the topic `checkpoints` too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Sign all heads of one moment, put them into a folder and publish them. What the log gained
    since the last checkpoint is verified on the way. On a schedule: `points
    audit keep-checkpoints`.

    Example: `points audit checkpoint --out checkpoints --key checkpoint.key`
    """
    settings = settings_of_services(kafka=kafka)
    file, folder = _key_and_folder(key or settings.checkpoint_key, out or settings.checkpoint_dir)
    with translated():
        made = make_next(
            settings.require_database_url(),
            settings.kafka_bootstrap if kafka else None,
            file,
            folder,
        )
    told = {
        "number": made.number,
        "hash": made.hash,
        "file": made.path,
        "events": made.events,
        "published": made.published,
    }
    if as_json:
        print_json(told)
        return
    typer.echo(
        f"checkpoint {made.number}: {made.shards} shards, {made.events} events,"
        f" {made.path}, {made.published} published"
    )


def keep_checkpoints(
    kafka: Annotated[bool, typer.Option(help="Publish to the topic `checkpoints` too.")] = True,
    log_file: Annotated[
        Path | None, typer.Option(help="Append the log here instead of standard error.")
    ] = None,
) -> None:
    """Make a checkpoint whenever one is due, until stopped: POINTS_CHECKPOINT_EVERY_SECONDS after
    the newest of POINTS_CHECKPOINT_DIR. `points serve` runs it where a key and a folder are set.

    Example: `points audit keep-checkpoints`
    """
    settings = settings_of_services(kafka=kafka)
    key, out = _key_and_folder(settings.checkpoint_key, settings.checkpoint_dir)
    logs.configure(log_file)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a checkpoint is whole or not there

    def make() -> Made:
        with translated():
            return make_next(
                settings.require_database_url(),
                settings.kafka_bootstrap if kafka else None,
                key,
                out,
            )

    keep_making(make, lambda: next_at(out, settings.checkpoint_every_seconds))


def _key_and_folder(key: Path | None, folder: Path | None) -> tuple[Path, Path]:
    """Raises AuditRefused (no_key, no_checkpoint_folder)."""
    if key is None:
        raise AuditRefused(
            "No key is named: give --key or set POINTS_CHECKPOINT_KEY; `points audit keygen` makes"
            " one.",
            "no_key",
        )
    if folder is None:
        raise AuditRefused(
            "No folder is named: give --out or set POINTS_CHECKPOINT_DIR.", "no_checkpoint_folder"
        )
    return key, folder


def prove(
    place: Annotated[str, typer.Argument(help="SHARD:POSITION of the event.")],
    checkpoint_file: Annotated[
        Path, typer.Option("--checkpoint", help="The checkpoint that it is to be proved under.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the proof there.")] = None,
) -> None:
    """Prove that an event is under a checkpoint. `audit/check_proof.py` checks the proof, without
    the database and without the rest of this software.

    Example: `points audit prove 7:1024 --checkpoint checkpoints/checkpoint-00000003.json`
    """
    shard, position = _place(place)
    content = checkpoints.read(checkpoint_file).content
    with translated(), _reading() as connection:
        _check_ledger(connection, content.ledger_id, checkpoint_file)
        proof = prove_event(connection, content, shard, position)
    if out is None:
        print_json(proof)
        return
    out.write_bytes(orjson.dumps(proof, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    typer.echo(f"{out}: {len(proof['path'])} hashes beside the event's row")


def declare_restore(
    checkpoint_place: Annotated[
        Path, typer.Option("--checkpoint", help="The newest checkpoint, or the folder of all.")
    ],
    actor: Annotated[str, typer.Option(help="Who declares it; no personal data.")],
    reason: Annotated[str, typer.Option(help="Why the backup was restored; no personal data.")],
    as_json: AsJson = False,
) -> None:
    """Declare, in the log, that a backup from before the newest checkpoint was restored. The next
    checkpoint continues the same folder, and `verify --checkpoint` names the declaration.

    Example: `points audit declare-restore --checkpoint checkpoints --actor dba-2 --reason INC-481`
    """
    newest = checkpoints.read_all(checkpoint_place)[-1][1].content
    at = to_instant(datetime.now(UTC))
    with translated(), _reading() as connection:
        _check_ledger(connection, newest.ledger_id, checkpoint_place)
        event = to_declare(connection, newest, actor, reason, at)

    async def append() -> int:
        async with open_ledger() as ledger:
            position: int = await ledger.declare_restore(event)
            return position

    position = run(append())
    told = {"position": position, "number": event.number, "lost": event.lost}
    if as_json:
        print_json(told)
        return
    typer.echo(f"declared at position {position} of the system shard:")
    for shard, has, had in event.lost:
        typer.echo(f"shard {shard} ended at {had}, its log ends at {has}")


def loaded(place: Path, public: Path | None) -> list[tuple[Path, checkpoints.Checkpoint]]:
    """The checkpoints of a file or folder, their signatures checked if a public key is named."""
    found = checkpoints.read_all(place)
    if public is not None:
        checkpoints.check_signatures(found, read_public(public))
    return found


@contextmanager
def _reading() -> Iterator[Connection[Any]]:
    url = settings_of_services().require_database_url()
    with connect(url) as connection:
        check_session(connection)
        with one_moment(connection):
            yield connection


def _check_ledger(connection: Connection[Any], ledger_id: str, place: Path) -> None:
    plan = plan_of(connection, "", "", with_read_models=False)
    if plan.ledger_id != ledger_id:
        raise AuditRefused(
            f"{place} is of the ledger {ledger_id}, the database holds {plan.ledger_id}: name the"
            " right database, or the right checkpoint.",
            "other_ledger",
        )


def _place(text: str) -> tuple[int, int]:
    shard, _, position = text.partition(":")
    try:
        return int(shard), int(position)
    except ValueError:
        raise AuditRefused(
            f"{text!r} is no place in the log: write SHARD:POSITION, for instance 7:1024.",
            "bad_place",
        ) from None


def register(group: typer.Typer) -> None:
    """Add the commands to the group `points audit`."""
    for each in (keygen, checkpoint, keep_checkpoints, prove, declare_restore):
        group.command()(each)
