"""Headers of a dead letter come back as they came, whatever their bytes are."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.headers import name_of, read_headers, write_headers

PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.none() | st.binary(max_size=20)), max_size=5)


@given(PAIRS)
def test_every_byte_is_kept(pairs: list[tuple[bytes, bytes | None]]) -> None:
    headers = tuple((name_of(name), value) for name, value in pairs)
    assert read_headers(write_headers(headers)) == headers
    assert [name.encode("utf-8", "surrogateescape") for name, _ in headers] == [
        name for name, _ in pairs
    ]


def test_what_was_written_before_is_read() -> None:
    """Pairs of name and base64, as they always were."""
    assert read_headers(b'[["ce_id","YjE="],["n\xc3\xa9",null]]') == (
        ("ce_id", b"b1"),
        ("né", None),
    )
