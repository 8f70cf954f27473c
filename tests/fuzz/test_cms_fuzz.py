"""Mutated and random CMS: only the errors that are promised, and never somebody else's content."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm
from smimegw.cms.compressed_data import inflate, parse_compressed_data
from smimegw.cms.content_info import content_type_of
from smimegw.cms.envelope import decrypt, parse_enveloped
from smimegw.cms.signed_data import parse_signed_data, verify_signer_info
from smimegw.errors import (
    CMSError,
    DecryptionError,
    LimitError,
    NoMatchingKeyError,
    SignatureError,
)
from tests.unit.cms.people import (
    CONTENT,
    compressed,
    decryption_credential,
    detached,
    opaque,
    person,
    sealed,
)

CBC, GCM = ContentCipher.AES_128_CBC, ContentCipher.AES_256_GCM
PROMISED = (CMSError, LimitError, SignatureError, NoMatchingKeyError, DecryptionError)
QUICK = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MAKERS: list[Callable[[], bytes]] = [
    lambda: detached(person()),
    lambda: opaque(person("bob", "p256")),
    lambda: sealed([person(), person("bob", "p256")], CBC),
    lambda: sealed([person("bob", "p256")], GCM),
    lambda: detached(person("carol", "ed25519"), digest=DigestAlgorithm.SHA512),
    lambda: sealed([person("dave", "x25519")], ContentCipher.CHACHA20_POLY1305),
    lambda: sealed([person("dave", "x448")], GCM),
    lambda: compressed(CONTENT),
]
SEEDS = [maker() for maker in MAKERS]

edits = st.lists(
    st.tuples(
        st.sampled_from(["replace", "delete", "insert", "double"]),
        st.integers(min_value=0, max_value=10_000),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=4,
)


def _edited(octets: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, data in changes:
        at = place % (len(octets) + 1)
        end = at + len(data)
        match kind:
            case "replace":
                octets = octets[:at] + data + octets[end:]
            case "delete":
                octets = octets[:at] + octets[end:]
            case "insert":
                octets = octets[:at] + data + octets[at:]
            case _:
                octets = octets[:end] + octets[at:]
    return octets


def _read(octets: bytes) -> bytes | None:
    """Everything a stranger's octets go through; the content when it verified or opened."""
    try:
        kind = content_type_of(octets)
        if kind == "signed-data":
            signed_data = parse_signed_data(octets)
            detached_content = None if signed_data.encapsulated is not None else (CONTENT,)
            for signer_info in signed_data.signer_infos:
                verify_signer_info(signed_data, signer_info, detached_content)
                return CONTENT if detached_content else signed_data.encapsulated
            return None
        if kind == "compressed-data":
            return inflate(parse_compressed_data(octets))
        enveloped = parse_enveloped(octets)
        credentials = [
            decryption_credential(person()),
            decryption_credential(person("bob", "p256")),
            decryption_credential(person("dave", "x25519")),
            decryption_credential(person("dave", "x448")),
        ]
        content = decrypt(enveloped, credentials)
        return content if enveloped.authenticated else None
    except PROMISED:
        return None


def test_seeds_are_good() -> None:
    """Mutation starts from messages that verify and open."""
    assert [_read(seed) for seed in SEEDS] == [CONTENT, CONTENT, None, *[CONTENT] * 5]


@QUICK
@given(seed=st.sampled_from(range(len(SEEDS))), changes=edits)
def test_mutated_messages_never_give_other_content(
    seed: int, changes: list[tuple[str, int, bytes]]
) -> None:
    """What still verifies, opens authenticated or inflates is what was put in (RFC 5652).

    A compressed stream has a checksum only, which is no protection, but against chance it is.
    """
    assert _read(_edited(SEEDS[seed], changes)) in (None, CONTENT)


@QUICK
@given(octets=st.binary(max_size=200))
@example(octets=b"\x30\x80" * 100)
@example(octets=b"\x24\x80" * 33 + b"\0\0" * 33)
def test_random_octets_never_pass(octets: bytes) -> None:
    """Nothing but the promised errors comes out."""
    assert _read(octets) is None


values = st.recursive(
    st.binary(max_size=20).map(lambda octets: (asn1.OCTET_STRING, octets)),
    lambda inner: st.tuples(st.sampled_from([0x24, 0x30]), st.lists(inner, max_size=4)),
    max_leaves=12,
)


def _encoded(value: tuple[int, object], *, indefinite: bool) -> bytes:
    tag, content = value
    if isinstance(content, bytes):
        return der.value(tag, content)
    assert isinstance(content, list)
    inner = b"".join(_encoded(item, indefinite=indefinite) for item in content)
    if indefinite:
        return bytes((tag, 0x80)) + inner + b"\0\0"
    return der.value(tag, inner)


def _tree(element: asn1.Element) -> tuple[int, object]:
    if element.tag & asn1.CONSTRUCTED:
        return element.tag, [_tree(child) for child in element.elements()]
    return element.tag, bytes(element.content)


@QUICK
@given(value=values)
def test_definite_and_indefinite_forms_read_alike(value: tuple[int, object]) -> None:
    """The length form carries no meaning (X.690, 8.1.3)."""
    for indefinite in (False, True):
        assert _tree(asn1.read_document(_encoded(value, indefinite=indefinite))) == value


@QUICK
@given(content=st.binary(max_size=300), chunks=st.lists(st.integers(0, 40), max_size=20))
def test_chunked_octet_string_is_the_whole(content: bytes, chunks: list[int]) -> None:
    """However it was cut (X.690, 8.7)."""
    pieces, at = [], 0
    for size in chunks:
        pieces.append(der.octet_string(content[at : at + size]))
        at += size
    pieces.append(der.octet_string(content[at:]))
    octets = b"\x24\x80" + b"".join(pieces) + b"\0\0"
    assert asn1.read_document(octets).octets() == content
