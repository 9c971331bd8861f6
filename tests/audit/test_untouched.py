"""The audit of a log that nobody touched, with every kind of event in it, finds nothing."""

from audit.verify import verify


def test_nothing_is_found_in_a_log_with_everything(url: str) -> None:
    report = verify(url, jobs=1)
    assert [(f.code, f.shard, f.position, f.what) for f in report.findings] == []
    assert report.ok
