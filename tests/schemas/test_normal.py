"""What dedupe compares: equal inputs have equal content, and the bytes never change."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.decode import decode_record
from schemas.inputs import PurchaseCompleted
from schemas.json_schema import INPUT_STRUCTS
from schemas.normal import business_key, normal_content
from tests.schemas.contract_samples import record, valid

PINNED = {
    "purchase.completed.v1": "b6850d88b1ce143e9b8e5d298133ce98",
    "purchase.returned.v1": "b9aa057b016d69300d8c94f289e296d2",
    "referral.registered.v1": "286b474243a1d68fb0ca7393d0d7b2c5",
    "survey.completed.v1": "e9615943cb449fc4b75bc0ffa6a3742c",
    "activity.completed.v1": "94a583f0d11bb796aa8cb8f2fdaf40a9",
    "member.enrolled.v1": "9cd3b631cbcf26f44eec9a067179cb34",
    "member.updated.v1": "5b7a43a18750f38b34a9ed113c8a7286",
    "member.erased.v1": "094b16bfff68c5dcd32fb07ceab2254f",
    "effect.reward.v1": "ce35122821c0ed715344f4e16c344eee",
    "effect.revoke.v1": "573ddcc9561a98e80f9f72b48692bc53",
    "command.reserve.v1": "3c4a47957362fc244214f8ee1fb5c991",
    "command.confirm.v1": "8f8dbb64ad3dc95f3c38323a84ff29b2",
    "command.cancel.v1": "788b4c6ec6d6fdb9f7acf33fcc49d86e",
}
"""SHA-256 (its first half) of the content of each valid example. Such hashes are stored for ever:
when a change of the code changes one, inputs already taken are no longer known as duplicates."""


def content(document: Any) -> bytes:
    return normal_content(decode_record(record(document)))


@pytest.mark.parametrize("event_type", INPUT_STRUCTS)
def test_the_bytes_are_pinned(event_type: str) -> None:
    assert hashlib.sha256(content(valid(event_type))).hexdigest()[:32] == PINNED[event_type]


def test_the_spelling_makes_no_difference() -> None:
    document = valid()
    document["data"]["lines"][0]["quantity"] = "1.50"
    document["data"]["lines"][1]["quantity"] = 1
    other = json.loads(json.dumps(document, sort_keys=True))
    other |= {"time": "2026-01-10T09:30:00.000Z", "id": "another", "source": "/other", "x": 1}
    other["data"]["lines"][0]["quantity"] = 1.5
    del other["data"]["lines"][1]["quantity"]
    other["data"]["lines"][1]["brand"] = None
    other["data"]["partner_id"] = None
    assert content(other) == content(document)


def test_defaults_written_out_make_no_difference() -> None:
    document = valid()
    del document["data"]["promo_codes"]
    same = valid()
    same["data"]["promo_codes"] = []
    assert content(same) == content(document)
    enrolled = valid("member.enrolled.v1")
    erased = valid("member.erased.v1")
    for full, short in (
        (enrolled | {"data": {"profile": {}}}, enrolled | {"data": {}}),
        (erased | {"data": {"reason": None}}, erased | {"data": {}}),
    ):
        assert content(full) == content(short)
        del short["data"]
        assert content(full) == content(short)


def test_null_and_left_out_differ_in_a_profile() -> None:
    document = valid("member.updated.v1")
    changed = valid("member.updated.v1")
    del changed["data"]["profile"]["region"]
    assert content(changed) != content(document)


@pytest.mark.parametrize("change", ["subject", "time", "amount", "line order"])
def test_what_matters_makes_a_difference(change: str) -> None:
    document = valid()
    lines = document["data"]["lines"]
    if change == "amount":
        lines[0]["amount"] += 1
    elif change == "line order":
        lines.reverse()
    else:
        document[change] = {"subject": "m-2", "time": "2026-01-10T12:30:00.000001+03:00"}[change]
    assert content(document) != content(valid())


def test_a_purchase_built_by_hand_is_normalised_too() -> None:
    event = decode_record(record(valid()))
    assert isinstance(event, PurchaseCompleted)
    lines = tuple(
        msgspec.structs.replace(line, quantity=line.quantity.quantize(Decimal("0.0000")))
        for line in event.data.lines
    )
    by_hand = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, lines=lines))
    assert normal_content(by_hand) == normal_content(event)


def test_business_keys() -> None:
    keys = {name: business_key(decode_record(record(valid(name)))) for name in INPUT_STRUCTS}
    assert keys == {
        "purchase.completed.v1": "store-12:2026:000123",
        "purchase.returned.v1": "store-12:2026:r-7",
        "referral.registered.v1": "m-1001 m-1002",
        "survey.completed.v1": "sv-9931",
        "activity.completed.v1": "review 4600000000017",
        "member.enrolled.v1": '["/crm","crm-1"]',
        "member.updated.v1": '["/crm","crm-2"]',
        "member.erased.v1": '["/crm","crm-3"]',
        "effect.reward.v1": "7:4211:0",
        "effect.revoke.v1": "7:4390:0",
        "command.reserve.v1": '["/pos/store-12","key-1"]',
        "command.confirm.v1": '["/pos/store-12","key-2"]',
        "command.cancel.v1": '["/pos/store-12","key-3"]',
    }
    one = decode_record(record(valid("member.erased.v1") | {"source": "a b", "id": "c"}))
    two = decode_record(record(valid("member.erased.v1") | {"source": "a", "id": "b c"}))
    assert business_key(one) != business_key(two)
