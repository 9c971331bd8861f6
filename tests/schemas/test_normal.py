"""What dedupe compares: equal inputs have equal content, and the bytes never change."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ledger.dedupe import content_of, key_of
from schemas.decode import decode_record, instant_of
from schemas.inputs import PurchaseCompleted
from schemas.json_schema import INPUT_STRUCTS
from schemas.normal import business_key, joined_key, normal_content
from tests.schemas.contract_samples import record, valid

PINNED = {
    "purchase.completed.v1": (
        "27a69372562c45bc3d7ccbe951f7de82",
        "b6850d88b1ce143e9b8e5d298133ce98",
    ),
    "purchase.returned.v1": (
        "ecdf294359685ddc8362cdf9d5cda5ad",
        "b9aa057b016d69300d8c94f289e296d2",
    ),
    "referral.registered.v1": (
        "49eb49b9c49126ddb5de4aa1733a8a7d",
        "286b474243a1d68fb0ca7393d0d7b2c5",
    ),
    "survey.completed.v1": ("09310b64cb5d413ccf46d98028864e95", "e9615943cb449fc4b75bc0ffa6a3742c"),
    "activity.completed.v1": (
        "5078b54023ad11eb4395c2a057c30ed1",
        "94a583f0d11bb796aa8cb8f2fdaf40a9",
    ),
    "member.enrolled.v1": ("029c6a1861010e41e3295997217ce425", "9cd3b631cbcf26f44eec9a067179cb34"),
    "member.updated.v1": ("227609b7e178159d8eb0d58cf292eae8", "5b7a43a18750f38b34a9ed113c8a7286"),
    "member.erased.v1": ("ebe9311cd8a56a0888e07253c1240650", "094b16bfff68c5dcd32fb07ceab2254f"),
    "effect.reward.v1": ("b531d0fadc113b04c01e43979b4fe6a6", "ce35122821c0ed715344f4e16c344eee"),
    "effect.revoke.v1": ("bc09f64ce0db9f182f7e19061217ea75", "573ddcc9561a98e80f9f72b48692bc53"),
    "command.reserve.v1": ("f1de1fe234348c206646dd3cfce162d8", "3c4a47957362fc244214f8ee1fb5c991"),
    "command.confirm.v1": ("a0c8d5930f7fc5dfad1e5506550743ea", "8f8dbb64ad3dc95f3c38323a84ff29b2"),
    "command.cancel.v1": ("c74116bafc3bdbd6ce58de95552d99de", "788b4c6ec6d6fdb9f7acf33fcc49d86e"),
    "command.freeze.v1": ("c0e936dcd5ef47e5294c1271c3303772", "5e123e5f5c3b05d892e07e7eba9ea5bc"),
    "command.unfreeze.v1": ("1718633539355e5a7e5ce770dfe0fd8d", "27485f514df60efe120929c426fedcd2"),
    "command.close.v1": ("263033f1ba20e8a21b31491ad3db01a5", "518fd75cbd933c620540adaced58d779"),
    "command.transfer.v1": ("6052503321dbaf8f74b79532547b3dc7", "a6e2e116a6fa6af0e66c8301c819ffa0"),
    "command.merge.v1": ("a7adc12f3328507fe9dff5796ef5b539", "f30c93c4b7b50b2b56fe76e51b9d395d"),
    "command.redeem.v1": ("9bd9e44502260884c74af16a092f8fc5", "3d410c2243d911651900321883e58cc7"),
    "command.adjust.v1": ("2c1ea0953a5db67121736d4af825d4a7", "618a9aa2941d0b1ecc4d1a2e7a8f086a"),
    "command.donate.v1": ("d35756189f95528c410f98f6d504e7b5", "a0f39b1fa95f0f7424aae29aae11ce89"),
    "command.claim.v1": ("7ab7ad5bdd934925cd94f24d21c1ecda", "5cd356028286925f7db444df5a694dc2"),
    "command.tier.v1": ("bdfb731e16f6f59093c7bd1834ed3e24", "aba635102eac58ccc927c4f53816de81"),
}
"""What is stored for ever of each valid example: the key, and the content (without a member's key).
When a change of the code changes one, inputs already taken are no longer known as duplicates."""


def content(document: Any) -> bytes:
    event = decode_record(record(document))
    return normal_content(event, instant_of(event))


@pytest.mark.parametrize("event_type", INPUT_STRUCTS)
def test_the_stored_bytes_are_pinned(event_type: str) -> None:
    event = decode_record(record(valid(event_type)))
    stored = key_of(event), content_of(event, instant_of(event))
    assert tuple(each.hex() for each in stored) == PINNED[event_type]
    assert stored[1] == hashlib.sha256(content(valid(event_type))).digest()[:16]


def test_the_stored_bytes_of_an_event_without_subject_are_pinned() -> None:
    document = valid() | {"subject": None}
    event = decode_record(record(document))
    assert key_of(event).hex() == "037bf107e7a64516d6c7008c02089526"
    assert content_of(event, instant_of(event)).hex() == "025e61993a31ba3b6a247eea3956a7c3"


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
        events = [decode_record(record(document)) for document in (full, short)]
        one, two = (content_of(event, instant_of(event), b"member's key") for event in events)
        assert one == two
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
    assert normal_content(by_hand, 0) == normal_content(event, 0)
    assert content_of(by_hand, 0) == content_of(event, 0)


def test_business_keys() -> None:
    keys = {name: business_key(decode_record(record(valid(name)))) for name in INPUT_STRUCTS}
    assert keys == {
        "purchase.completed.v1": ("key", "store-12:2026:000123"),
        "purchase.returned.v1": ("key", "store-12:2026:r-7"),
        "referral.registered.v1": ("key", "m-1001"),
        "survey.completed.v1": ("key", "sv-9931"),
        "activity.completed.v1": ("key", "review", "4600000000017"),
        "member.enrolled.v1": ("id", "/crm", "crm-1"),
        "member.updated.v1": ("id", "/crm", "crm-2"),
        "member.erased.v1": ("id", "/crm", "crm-3"),
        "effect.reward.v1": ("key", "7:4211:0"),
        "effect.revoke.v1": ("key", "7:4390:0"),
        "command.reserve.v1": ("id", "/pos/store-12", "key-1"),
        "command.confirm.v1": ("id", "/pos/store-12", "key-2"),
        "command.cancel.v1": ("id", "/pos/store-12", "key-3"),
        "command.freeze.v1": ("id", "/backoffice", "key-4"),
        "command.unfreeze.v1": ("id", "/backoffice", "key-5"),
        "command.close.v1": ("id", "/backoffice", "key-6"),
        "command.transfer.v1": ("id", "/app", "key-7"),
        "command.merge.v1": ("id", "/backoffice", "key-8"),
        "command.redeem.v1": ("id", "/pos/store-12", "key-4"),
        "command.adjust.v1": ("id", "/pos/store-12", "key-5"),
        "command.donate.v1": ("id", "/pos/store-12", "key-6"),
        "command.claim.v1": ("id", "/pos/store-12", "key-7"),
        "command.tier.v1": ("id", "/crm", "key-9"),
    }
    one = decode_record(record(valid("member.erased.v1") | {"source": "a b", "id": "c"}))
    two = decode_record(record(valid("member.erased.v1") | {"source": "a", "id": "b c"}))
    assert key_of(one) != key_of(two)
    assert joined_key("ab", "c") != joined_key("a", "bc") != joined_key("abc")


def test_the_offset_of_an_adjustment_s_expiry_makes_no_difference() -> None:
    one = valid("command.adjust.v1")
    one["data"] |= {"points": 5, "expires_at": "2027-01-01T03:00:00+03:00"}
    two = valid("command.adjust.v1")
    two["data"] |= {"points": 5, "expires_at": "2027-01-01T00:00:00Z"}
    assert content(one) == content(two)
    two["data"]["expires_at"] = "2027-01-01T00:00:01Z"
    assert content(one) != content(two)


def test_the_offset_in_which_the_end_of_a_tier_is_written_makes_no_difference() -> None:
    moscow = valid("command.tier.v1")
    greenwich = valid("command.tier.v1")
    greenwich["data"]["until"] = "2026-06-30T21:00:00Z"
    assert content(moscow) == content(greenwich)
    greenwich["data"]["until"] = "2026-06-30T22:00:00Z"
    assert content(moscow) != content(greenwich)
