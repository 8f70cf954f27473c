"""Carries out one cell of the table of algorithms and programs, as it works or is refused.

@pytest.mark.parametrize("cell", cells("openssl"), ids=str)
def test_algorithm(party: OpenSSLParty, cell: Cell) -> None:
    carry_out(cell, party)
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.cms.content_ciphers import ContentCipher
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.enveloped_data import Enveloped
from smimegw.cms.key_agreement import KeyAgreeRecipientInfo
from smimegw.cms.key_encryption_algorithms import read_key_agreement, read_key_transport
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
from smimegw.cms.recipient_info import KeyTransRecipientInfo
from smimegw.cms.signed_data import parse_signed_data, sign_opaque, verify_signer_info
from tests.fakes.pki import NOW, Issued, make_ca
from tests.interop.matrix import Compression, Encryption, Signature, Way
from tests.interop.parties import Party
from tests.interop.programs import PEERS, Cell
from tests.peers.bouncy_castle import RefusalError

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 100


@cache
def person(key: str) -> Issued:
    """Whoever has a key of this kind."""
    usage = "encrypt" if key.startswith("x") else "sign" if key.startswith("ed") else "both"
    return make_ca("Table CA", key="rsa").issue(f"{key}@ours.example", key=key, usage=usage)


def carry_out(cell: Cell, party: Party) -> None:
    """Fail when *cell* is not true."""
    if cell.works:
        assert _exchanged(cell, party) == CONTENT
        return
    assert cell.limit is not None
    with pytest.raises((AssertionError, RefusalError)) as caught:
        _exchanged(cell, party)
    assert re.search(cell.limit.says, str(caught.value)), (
        f"{PEERS[cell.peer]} was known to say {cell.limit.says!r}, this one says {caught.value}"
    )


def _exchanged(cell: Cell, party: Party) -> bytes:
    algorithm = cell.algorithm
    theirs = cell.way is Way.THEIRS
    if isinstance(algorithm, Compression):
        return inflate(parse_compressed_data(party.compressed(CONTENT)))
    somebody = person(algorithm.key)
    if isinstance(algorithm, Signature):
        if theirs:
            return _verified(algorithm, party.signed(algorithm, CONTENT, somebody), somebody)
        return party.verified(algorithm, _signed(algorithm, somebody), somebody)
    assert isinstance(algorithm, Encryption)
    if theirs:
        return _decrypted(algorithm, party.encrypted(algorithm, CONTENT, somebody), somebody)
    return party.decrypted(algorithm, _encrypted(algorithm, somebody), somebody)


def _signed(algorithm: Signature, signer: Issued) -> bytes:
    key = SoftwareSigningKey(signer.key)
    return sign_opaque(
        CONTENT,
        digest_algorithm=algorithm.digest,
        credential=SigningCredential(signer.certificate, signer.chain, key),
        scheme=algorithm.scheme,
        signing_time=NOW,
        capabilities=None,
    ).whole()


def _verified(algorithm: Signature, cms: bytes, signer: Issued) -> bytes:
    signed_data = parse_signed_data(cms)
    (signer_info,) = signed_data.signer_infos
    checked = verify_signer_info(
        signed_data, signer_info, None, extra_certificates=(signer.certificate,)
    )
    assert checked.certificate == signer.certificate
    assert (checked.scheme, checked.digest_algorithm) == (algorithm.scheme, algorithm.digest)
    assert signed_data.encapsulated is not None
    return signed_data.encapsulated.whole()


def _encrypted(algorithm: Encryption, recipient: Issued) -> bytes:
    assert isinstance(algorithm.cipher, ContentCipher)
    whom = Recipient(recipient.certificate, algorithm.key_encryption)
    octets = b"".join(encrypt((CONTENT,), len(CONTENT), [whom], algorithm.cipher))
    _read(algorithm, octets, recipient)
    return octets


def _decrypted(algorithm: Encryption, cms: bytes, recipient: Issued) -> bytes:
    enveloped = _read(algorithm, cms, recipient)
    key = SoftwareDecryptionKey(recipient.key)
    credential = DecryptionCredential(recipient.certificate, key)
    return decrypt(enveloped, (credential,), allow_legacy=algorithm.cipher.is_weak)


def _read(algorithm: Encryption, cms: bytes, recipient: Issued) -> Enveloped:
    """Nobody took another algorithm than the row's."""
    enveloped = parse_enveloped(cms)
    assert enveloped.cipher is algorithm.cipher
    (info,) = enveloped.recipient_infos
    assert info.identifier.matches(recipient.certificate)
    if isinstance(info, KeyTransRecipientInfo):
        oaep = read_key_transport(info.algorithm).oaep
        hashes = None if oaep is None else (oaep.digest, oaep.mgf_digest)
        expected = (algorithm.key_encryption.digest, algorithm.mask)
        assert hashes == (None if algorithm.mask is None else expected)
        return enveloped
    assert isinstance(info, KeyAgreeRecipientInfo)
    agreement = read_key_agreement(info.algorithm)
    assert agreement.key_encryption is algorithm.key_encryption
    assert (agreement.wrap, agreement.cofactor) == (algorithm.wrap, algorithm.cofactor)
    return enveloped
