"""docs/metrics.md says what the code says: every metric, its kind and labels; every path served."""

import asyncio
import json
import re
import urllib.request
from urllib.error import HTTPError

import pytest
from prometheus_client import Metric

from api.webhooks.metrics import WebhookMetrics
from ledger.cache import AccountCache
from ledger.stats import Stats
from streams.http import Probes
from streams.metrics import Metrics
from tests.docs.pages import items, page, sections

PAGE = page("metrics.md")
PATHS = items(sections(PAGE)["Probes"])
LISTED = {name: item for name, item in items(PAGE).items() if name not in PATHS}


def watched() -> Metrics:
    metrics = Metrics()
    metrics.watch(
        lag=lambda: {"purchases": 1},
        waiting=lambda: 0,
        stats=Stats(),
        cache=AccountCache(1_000, 1_000_000),
    )
    return metrics


def exposed(family: Metric) -> str:
    """The name that a person asks Prometheus for."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def labels_of(metrics: Metrics | WebhookMetrics, family: Metric) -> tuple[str, ...]:
    """The labels of a metric, also of one that nothing was counted in yet."""
    for collector in vars(metrics).values():
        if getattr(collector, "_name", None) == family.name:
            return tuple(collector._labelnames)
    return tuple(dict.fromkeys(name for sample in family.samples for name in sample.labels))


LOOPBACK = "127.0.0.1"
METRICS = watched()
WEBHOOKS = WebhookMetrics()
OF_WEBHOOKS = {exposed(family): family for family in WEBHOOKS.registry.collect()}
FAMILIES = {exposed(family): family for family in METRICS.registry.collect()} | OF_WEBHOOKS


def test_every_metric_has_its_line_and_every_line_its_metric() -> None:
    assert sorted(LISTED) == sorted(FAMILIES)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_line_says_what_the_code_says(name: str) -> None:
    family, item = FAMILIES[name], LISTED[name]
    kind, unit, *labels = item.kind.split(", ")
    assert kind == family.type
    assert unit
    listed = re.findall(r"`(\w+)`", " ".join(labels))
    assert tuple(listed) == labels_of(WEBHOOKS if name in OF_WEBHOOKS else METRICS, family)
    assert item.text.startswith(family.documentation)


def test_the_names_elsewhere_on_the_page_are_metrics() -> None:
    named = set(re.findall(r"`(points_\w+)", PAGE))
    assert named <= set(FAMILIES)


def test_the_steps_are_those_that_are_measured() -> None:
    steps = {sample.labels["step"] for sample in FAMILIES["points_append_steps_total"].samples}
    (sentence,) = re.findall(r"^The steps are (.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == steps


def test_the_paths_are_those_that_are_served() -> None:
    going_on = "a rebalance is going on"
    reason: str | None = going_on
    probes = Probes(METRICS, lambda: reason)

    def ask(port: int, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    async def serve() -> None:
        nonlocal reason
        port = await probes.start(LOOPBACK, 0)
        try:
            assert await asyncio.to_thread(ask, port, "/") == (404, b"404: Not Found")
            code, text = await asyncio.to_thread(ask, port, "/metrics")
            assert (code, b"# HELP points_inputs_total" in text) == (200, True)
            assert going_on in PATHS["/readyz"].text
            code, text = await asyncio.to_thread(ask, port, "/readyz")
            assert (code, json.loads(text)) == (503, {"status": "not ready", "reason": going_on})
            reason = None
            for path in ("/readyz", "/livez"):
                code, text = await asyncio.to_thread(ask, port, path)
                assert PATHS[path].text.startswith(f"{code} `{text.decode()}`")
        finally:
            await probes.stop()

    asyncio.run(serve())
    assert set(PATHS) == {"/livez", "/readyz", "/metrics"}
