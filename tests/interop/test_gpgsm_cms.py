"""gpgsm signs and encrypts for us, and reads what we made, with RSA keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smimegw.cms.algorithms import (
    DigestAlgorithm,
    SignatureScheme,
)
from smimegw.cms.capabilities import OURS
from smimegw.cms.keys import (
    SigningCredential,
    SoftwareSigningKey,
)
from smimegw.cms.signed_data import (
    parse_signed_data,
    sign_detached,
    verify_signer_info,
)
from smimegw.cms.verify import digest_of
from tests.fakes.pki import NOW, Issued, make_ca
from tests.interop.gnupg import GnuPG, gnupg

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 200
SHA256, SHA384, SHA512 = DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512


@pytest.fixture(scope="module")
def alice() -> Issued:
    return make_ca("GnuPG CA", key="rsa").issue("alice@ours.example", key="rsa")


@pytest.fixture(scope="module")
def home(alice: Issued) -> Iterator[GnuPG]:
    with gnupg(alice) as home:
        yield home


def _signing_credential(alice: Issued) -> SigningCredential:
    return SigningCredential(alice.certificate, alice.chain, SoftwareSigningKey(alice.key))


@pytest.mark.parametrize("options", [(), ("--detach-sign",)], ids=["opaque", "detached"])
@pytest.mark.parametrize("digest", [SHA256, SHA384, SHA512], ids=lambda digest: digest.value)
def test_signatures_of_gpgsm_verify(
    home: GnuPG, alice: Issued, options: tuple[str, ...], digest: DigestAlgorithm
) -> None:
    """BER with indefinite lengths, as GnuPG writes it (RFC 5652, 5)."""
    octets, _ = home.run(
        *("--sign", *options, "--local-user", "alice@ours.example"),
        *("--digest-algo", digest.value),
        stdin=CONTENT,
    )
    signed_data = parse_signed_data(octets)
    assert signed_data.encapsulated == (None if options else CONTENT)
    checked = verify_signer_info(
        signed_data, signed_data.signer_infos[0], (CONTENT,) if options else None
    )
    assert checked.certificate == alice.certificate
    assert checked.digest_algorithm is digest


@pytest.mark.parametrize("digest", [SHA256, SHA384, SHA512], ids=lambda digest: digest.value)
@pytest.mark.parametrize(
    "scheme", [SignatureScheme.RSA_PKCS1V15, SignatureScheme.RSA_PSS], ids=lambda item: item.value
)
def test_gpgsm_verifies_our_detached_signatures(
    home: GnuPG, alice: Issued, scheme: SignatureScheme, digest: DigestAlgorithm
) -> None:
    """PSS too, because our salt is as long as the digest (RFC 4056, 3)."""
    octets = sign_detached(
        digest_of(digest, (CONTENT,)),
        digest_algorithm=digest,
        credential=_signing_credential(alice),
        scheme=scheme,
        signing_time=NOW,
        capabilities=OURS,
    )
    _, status = home.run("--verify", home.keep("signature", octets), home.keep("content", CONTENT))
    assert "GOODSIG" in status
    assert "TRUST_FULLY" in status
