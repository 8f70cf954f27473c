"""PKCS#11 URIs (RFC 7512)."""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.adapters.pkcs11.uri import TokenURI
from smimegw.errors import UsageError


def test_uri_names_token_object_and_library() -> None:
    """Percent-encoding is undone, and what only narrows down is passed over (RFC 7512, 2.3)."""
    text = "pkcs11:token=Mail%20HSM;serial=12;manufacturer=X;object=kek;id=%01%ff;type=private"
    uri = TokenURI.parse(text + "?module-path=/usr/lib/p11.so")
    assert uri == TokenURI(
        token="Mail HSM", serial="12", object="kek", id=b"\x01\xff", module=Path("/usr/lib/p11.so")
    )


def test_written_uri_reads_back() -> None:
    """A URI that we keep means the same when it is read."""
    uri = TokenURI(token="a;b=c?", object="ä", id=bytes(range(20)), module=Path("/a b/c"))
    assert TokenURI.parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("token=x", "not a PKCS#11 URI"),
        ("pkcs11:object=sch\u00fcler", "in ASCII"),
        ("pkcs11:object=\udcff", "in ASCII"),
        ("pkcs11:token=x?pin-value=1234", "no PIN"),
        ("pkcs11:token=x?pin-source=file:/pin", "no PIN"),
        ("pkcs11:token=x;token=y", "twice"),
        ("pkcs11:token", "without a value"),
        ("pkcs11:token=%ff", "UTF-8"),
        ("pkcs11:token=x;type=cert", "certificate"),
        ("pkcs11:token=x;colour=red", "not understood"),
    ],
)
def test_uri_that_cannot_be_used_is_refused(text: str, reason: str) -> None:
    """Nothing is guessed, and a PIN never stands in a URI (RFC 7512, 2.4)."""
    with pytest.raises(UsageError, match=reason):
        TokenURI.parse(text)
