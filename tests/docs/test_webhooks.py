"""docs/webhooks.md says what the code says: types, pauses, codes; its receiver takes a request."""

import ast
import re
import time
from itertools import pairwise

from api.webhooks import schedule, sending, subscriptions
from api.webhooks.attempts import Attempt
from api.webhooks.deliverer import EACH_MAX
from api.webhooks.making import WAITING_MAX
from api.webhooks.matching import TYPES
from api.webhooks.sending import headers_of
from tests.docs.codes import ROOT
from tests.docs.pages import blocks, items, page, sections

PAGE = page("webhooks.md")
SECTIONS = sections(PAGE)

UNITS = {"s": 1, "min": 60, "h": 3_600}


def test_the_types_in_their_order() -> None:
    listed = items(SECTIONS["Event types"])
    assert list(listed) == list(TYPES)
    for name, sentence in TYPES.items():
        assert listed[name].text.startswith(sentence)


def test_the_pauses() -> None:
    text = " ".join(SECTIONS["When it is not taken"].split())
    (said,) = re.findall(r"comes after (.*?), each longer", text)
    found = [int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", said)]
    assert tuple(found) == schedule.RETRY_SECONDS
    assert all(a < b for a, b in pairwise(found))
    assert f"for {schedule.DEAD_SECONDS // 3_600} hours" in text
    assert f"{WAITING_MAX:,} deliveries" in text
    assert f"after {schedule.DONE_KEEP_DAYS} days" in text
    assert f"after {schedule.FAILED_KEEP_DAYS}." in text


def test_the_figures_elsewhere() -> None:
    text = " ".join(PAGE.split())
    assert f"within {sending.ANSWER_SECONDS:.0f} seconds" in text
    assert f"(connection: {sending.CONNECT_SECONDS:.0f})" in text
    assert f"up to {EACH_MAX} deliveries" in text
    assert f"at most {subscriptions.SUBSCRIPTIONS_MAX}." in text


def test_the_codes() -> None:
    given = set()
    for path in (ROOT / "api" / "webhooks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "WebhookRefused":
                code = node.args[1]
                assert isinstance(code, ast.Constant)
                given.add(code.value)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", SECTIONS["Subscriptions"], re.MULTILINE)
    listed = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    of_the_process = {"deliverer_running", "deliverer_lost"}
    assert listed | of_the_process == given


def test_its_receiver_takes_what_is_sent_and_nothing_else() -> None:
    (source,) = blocks(PAGE, "python")
    names: dict[str, object] = {}
    exec(source, names)
    verified = names["verified"]
    assert callable(verified)
    body = b'{"type":"points.earned"}'
    attempt = Attempt("msg_1_2_3_0", "https://crm.example/", body, (b"x" * 32, bytes(range(32))))
    now = int(time.time())
    assert verified(headers_of(attempt, now), body)
    assert not verified(headers_of(attempt, now), body + b" ")
    assert not verified(headers_of(attempt, now - 400), body)
    assert not verified(headers_of(attempt._replace(secrets=(b"x" * 32,)), now), body)
