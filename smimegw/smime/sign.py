"""Signs an entity: clear (multipart/signed) or opaque (application/pkcs7-mime)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from cryptography.hazmat.primitives import hashes

from smimegw.cms import signed_data
from smimegw.cms.algorithms import DigestAlgorithm, SignatureScheme, digest_for
from smimegw.cms.capabilities import OURS
from smimegw.cms.keys import SigningCredential
from smimegw.cms.pss_keys import scheme_for
from smimegw.content import MEMORY, Content, Store
from smimegw.errors import LimitError, MIMEError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.build import Fields, boundary, multipart_signed, pkcs7_mime
from smimegw.mime.canonical import canonical_for_signing, is_signable
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.mime.lines import blocks_of_lines, in_crlf_lines
from smimegw.x509.certificate import Certificate


def sign_clear(
    entity: Entity,
    credential: SigningCredential,
    *,
    now: datetime,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    scheme: SignatureScheme | None = None,
    encryption_certificate: Certificate | None = None,
    rng: Callable[[int], bytes] = os.urandom,
    limits: Limits = DEFAULT_LIMITS,
    store: Store = MEMORY,
) -> Entity:
    """Sign *entity* so that it stays readable without S/MIME (RFC 8551, 3.5.3).

    Args:
        entity: Only the inner fields (Content-*) and the body; brought into canonical form here.
        credential: Whose signature it becomes.
        now: Becomes the signing time.
        digest: For content and signature; EdDSA has its own.
        scheme: The one every reader knows for that key, unless given.
        encryption_certificate: Which certificate answers should be encrypted to, when it is not
            the signing one.
        rng: Source of the boundary.
        limits: For walking the MIME structure.
        store: Keeps what must be written anew to be signed.

    Returns:
        The multipart/signed entity; its header section is the Content-Type field alone.

    Raises:
        MIMEError: The entity must be changed to be signed and is malformed, or the boundary occurs
            in it.
        LimitError: Its structure is too deep or has too many parts.
        UnsupportedAlgorithmError: The key cannot do that.
        SignatureError: The key is not the certificate's.
        KeystoreError: The key cannot be used now.
    """
    scheme = scheme_for(credential.certificate, scheme)
    digest = digest_for(scheme, digest)
    delimiter = boundary(rng)
    reading = _Reading(digest, delimiter)
    if is_signable(entity, reading.take):
        signed = entity
    else:
        signed, reading = canonical_for_signing(entity, limits, store), _Reading(digest, delimiter)
        for block in blocks_of_lines(signed.content):
            reading.take(block)
    signature = signed_data.sign_detached(
        reading.digest(),
        digest_algorithm=digest,
        credential=_without_root(credential),
        scheme=scheme,
        signing_time=now,
        capabilities=OURS,
        encryption_certificate=encryption_certificate,
    )
    return _entity(*multipart_signed(signed, signature, digest.micalg, delimiter))


class _Reading:
    """What a clear signature needs to know of the octets, found while they are read once."""

    def __init__(self, algorithm: DigestAlgorithm, delimiter: str) -> None:
        self._state = hashes.Hash(algorithm.primitive())
        self._mark = b"--" + delimiter.encode("ascii")

    def take(self, lines: bytes) -> None:
        """Take the next *lines*."""
        if self._mark in lines:
            raise MIMEError("the boundary occurs in what is signed")
        self._state.update(lines)

    def digest(self) -> bytes:
        """Of all that was taken."""
        return self._state.finalize()


def sign_opaque(
    entity: Entity,
    credential: SigningCredential,
    *,
    now: datetime,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    scheme: SignatureScheme | None = None,
    encryption_certificate: Certificate | None = None,
    limits: Limits = DEFAULT_LIMITS,
    store: Store = MEMORY,
) -> Entity:
    """Sign *entity* and wrap it, so that no relay can change it (RFC 8551, 3.5.2).

    What has no canonical form is signed octet for octet: nothing can change it on the way.
    Arguments and result are those of `sign_clear`, the errors too, less those about the
    structure; the result is application/pkcs7-mime.
    """
    scheme = scheme_for(credential.certificate, scheme)
    octets = signed_data.sign_opaque(
        _octets(entity, limits, store),
        digest_algorithm=digest_for(scheme, digest),
        credential=_without_root(credential),
        scheme=scheme,
        signing_time=now,
        capabilities=OURS,
        encryption_certificate=encryption_certificate,
    )
    return _entity(*pkcs7_mime("signed-data", octets))


def _octets(entity: Entity, limits: Limits, store: Store) -> Content:
    try:
        return canonical_for_signing(entity, limits, store).content
    except (MIMEError, LimitError):
        # An empty line ends the header section even when there is no body.
        octets = replace(entity, separator=entity.separator or b"\r\n").content
        # A bare CR is content: written as a line end it could make a second field.
        return octets if _has_bare_cr(octets) else in_crlf_lines(octets, store)


def _has_bare_cr(octets: Content) -> bool:
    return any(b"\r" in block.replace(b"\r\n", b"") for block in blocks_of_lines(octets))


def _without_root(credential: SigningCredential) -> SigningCredential:
    # RFC 8550, 2.3: a reader trusts a root because it has it, never because mail brought it.
    chain = tuple([item for item in credential.chain if not item.is_self_issued])
    return SigningCredential(credential.certificate, chain, credential.key)


def _entity(fields: Fields, body: Content) -> Entity:
    return Entity(HeaderSection(fields), body)
