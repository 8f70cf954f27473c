"""gpgsm signs and encrypts for us, and reads what we made, with RSA keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smimegw.cms.algorithms import (
    ContentCipher,
    DigestAlgorithm,
    KeyEncryption,
    SignatureScheme,
    signature_scheme_for,
)
from smimegw.cms.capabilities import OURS
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.cms.signed_data import (
    parse_signed_data,
    sign_detached,
    sign_opaque,
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


def test_gpgsm_verifies_our_opaque_signature(home: GnuPG, alice: Issued) -> None:
    """The content comes out as it went in (RFC 8551, 3.5.2)."""
    octets = sign_opaque(
        CONTENT,
        digest_algorithm=SHA256,
        credential=_signing_credential(alice),
        scheme=signature_scheme_for(alice.certificate),
        signing_time=NOW,
        capabilities=OURS,
    )
    content, status = home.run("--output", "-", "--verify", stdin=octets)
    assert content == CONTENT
    assert "GOODSIG" in status


@pytest.mark.parametrize(
    "cipher",
    [cipher for cipher in ContentCipher if not cipher.authenticated],
    ids=lambda cipher: cipher.label,
)
def test_gpgsm_decrypts_ours(home: GnuPG, alice: Issued, cipher: ContentCipher) -> None:
    """AES-CBC with PKCS#1 v1.5 key transport, what it knows (RFC 3370, RFC 3565)."""
    recipient = Recipient(alice.certificate, KeyEncryption.RSA_PKCS1V15)
    octets = b"".join(encrypt((CONTENT,), len(CONTENT), [recipient], cipher))
    content, _ = home.run("--decrypt", stdin=octets)
    assert content == CONTENT


@pytest.mark.parametrize("cipher", ["AES", "AES192", "AES256"])
def test_what_gpgsm_encrypts_decrypts(home: GnuPG, alice: Issued, cipher: str) -> None:
    """Every AES-CBC that it writes (RFC 3565)."""
    octets, _ = home.run(
        *("--encrypt", "--cipher-algo", cipher, "--recipient", "alice@ours.example"),
        stdin=CONTENT,
    )
    key = SoftwareDecryptionKey(alice.key)
    credential = DecryptionCredential(alice.certificate, key)
    assert decrypt(parse_enveloped(octets), (credential,)) == CONTENT
