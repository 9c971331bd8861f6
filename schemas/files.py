"""The generated contract files: what they must hold, writing them, and finding what differs.

`schemas/json/<type>.json`, `schemas/json/log.json` and `schemas/asyncapi.json`, committed too.
A file that no type stands for any more is reported and removed.
"""

import json
from pathlib import Path

from schemas import asyncapi
from schemas.json_schema import INPUT_STRUCTS, LOG_NAME, input_schema, log_schema

FOLDER = Path(__file__).parent
"""Where the contracts live."""

EXAMPLES = FOLDER / "examples"
"""One valid and several invalid events of each type, with `index.json` naming code and path."""


def valid_example(event_type: str) -> object:
    """The valid example of a type, as a JSON document."""
    example: object = json.loads((EXAMPLES / f"{event_type}.valid.json").read_bytes())
    return example


def generated() -> dict[str, bytes]:
    """Content of every generated file by its path below `schemas/`."""
    examples = {name: valid_example(name) for name in INPUT_STRUCTS}
    documents: dict[str, object] = {
        f"json/{name}.json": input_schema(name, example) for name, example in examples.items()
    }
    documents[f"json/{LOG_NAME}.json"] = log_schema()
    documents["asyncapi.json"] = asyncapi.document(examples)
    return {
        path: (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
        for path, document in documents.items()
    }


def stale(folder: Path = FOLDER) -> list[str]:
    """Paths below `folder` that differ from the types: changed, missing or left over."""
    wanted = generated()
    left_over = [
        name
        for file in sorted((folder / "json").glob("*.json"))
        if (name := f"json/{file.name}") not in wanted
    ]
    different = [
        name
        for name, content in wanted.items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != content
    ]
    return different + left_over


def write(folder: Path = FOLDER) -> list[str]:
    """Bring the files up to date. Returns the paths that changed; raises OSError."""
    changed = stale(folder)
    wanted = generated()
    for name in changed:
        file = folder / name
        if name in wanted:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(wanted[name])
        else:
            file.unlink()
    return changed
