"""Settings are read strictly: what is misspelt or impossible is refused with a sentence."""

import pytest

from ledger.errors import StartRefused
from ledger.settings import Settings, load_settings


def test_defaults() -> None:
    settings = load_settings({})
    assert (settings.shards, settings.partitions) == (32, 8)


def test_values_come_from_the_environment() -> None:
    assert load_settings({"POINTS_SHARDS": "16", "HOME": "/"}).shards == 16


@pytest.mark.parametrize(
    ("environ", "code", "sentence"),
    [
        ({"POINTS_SHARD": "16"}, "unknown_setting", "did you mean POINTS_SHARDS"),
        ({"POINTS_ZZZ": "1"}, "unknown_setting", "POINTS_ZZZ is not a setting"),
        ({"POINTS_SHARDS": "many"}, "bad_setting", "POINTS_SHARDS"),
        ({"POINTS_SHARDS": "0"}, "bad_setting", "POINTS_SHARDS"),
        ({"POINTS_DATABASE_URL": ""}, "bad_setting", "POINTS_DATABASE_URL"),
        ({"POINTS_DATABASE_URL": "garbage"}, "bad_setting", "postgresql://"),
        ({"POINTS_DATABASE_URL": "mysql://x"}, "bad_setting", "postgresql://"),
        ({"POINTS_KAFKA_BOOTSTRAP": " "}, "bad_setting", "POINTS_KAFKA_BOOTSTRAP"),
        ({"POINTS_PARTITIONS": "5"}, "bad_setting", "does not divide"),
        ({"POINTS_API_TRUSTED_PROXIES": ""}, "bad_setting", "10.0.0.7,10.1.0.0/24"),
        ({"POINTS_API_TRUSTED_PROXIES": "*"}, "bad_setting", "POINTS_API_TRUSTED_PROXIES"),
        ({"POINTS_API_TRUSTED_PROXIES": "10.0.0.7/8"}, "bad_setting", "host bits"),
    ],
)
def test_refused(environ: dict[str, str], code: str, sentence: str) -> None:
    with pytest.raises(StartRefused, match=sentence) as refused:
        load_settings(environ)
    assert refused.value.code == code


def test_no_database_is_said_in_a_sentence() -> None:
    with pytest.raises(StartRefused, match="points up"):
        load_settings({}).require_database_url()


def test_a_password_is_not_printed() -> None:
    settings = load_settings({"POINTS_DATABASE_URL": "postgresql://a:secret@h/d"})
    assert "secret" not in repr(settings)
    assert settings.require_database_url().endswith("secret@h/d")


def test_proxies_are_addresses_and_networks() -> None:
    settings = load_settings({"POINTS_API_TRUSTED_PROXIES": "10.0.0.7, 10.1.0.0/24,fd00::/8"})
    trusted = ("10.0.0.7", "10.1.0.255", "::ffff:10.1.0.1", "fd00::1")
    others = ("10.0.0.8", "127.0.0.1", "::1", "::ffff:10.0.0.8", "x", "")
    assert all(settings.is_trusted_proxy(each) for each in trusted)
    assert not any(settings.is_trusted_proxy(each) for each in others)
    assert not any(load_settings({}).is_trusted_proxy(each) for each in (*trusted, *others))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_for(name: str) -> None:
    assert len(Settings.model_fields[name].description or "") > 40
