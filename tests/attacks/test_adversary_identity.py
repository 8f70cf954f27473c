"""Whose mail it is: certificates slipped in, results forged in ways that readers may accept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from smimegw.address_lists import parse_mailboxes, sole_mailbox
from smimegw.cms.signed_data import parse_signed_data
from smimegw.cms.verify import verify_signer_info
from smimegw.mime.entity import Entity
from smimegw.mime.headers import parse_header_section
from smimegw.mime.lines import with_crlf
from smimegw.pipeline.annotate import shows_other_address
from smimegw.pipeline.strip import strip_results
from tests.fakes.company import Company, message
from tests.fakes.pki import make_ca
from tests.interop.openssl import Files, openssl

ALICE, BOB, CAROL = "alice@ours.example", "bob@partner.example", "carol@partner.example"


@pytest.mark.parametrize("slipped_in_first", [True, False])
def test_signing_certificate_attribute_decides_between_certificates_of_one_key(
    slipped_in_first: bool, tmp_path: Path
) -> None:
    """Another certificate with the signer's key must not lend its name (RFC 5035, 5.4)."""
    ca = make_ca("One key")
    carol, bob = ca.issue(CAROL, slot="shared"), ca.issue(BOB, slot="shared")
    files = Files.of(carol, tmp_path, "carol")
    octets = openssl("cms", "-sign", "-nodetach", "-keyid", "-cades", "-outform", "DER", "-signer",
                     files.certificate, "-inkey", files.key, stdin=b"text")  # fmt: skip
    certificates = (bob.certificate, carol.certificate)
    signed_data = replace(
        parse_signed_data(octets),
        certificates=certificates if slipped_in_first else certificates[::-1],
    )
    checked = verify_signer_info(signed_data, signed_data.signer_infos[0])
    assert checked.certificate == carol.certificate


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: gw.ours.example/1; smime=pass",
        b"Authentication-Results: gw.ours.example:25; smime=pass",
        b"Authentication-Results: [gw.ours.example]; smime=pass",
        b"Authentication-Results: x@gw.ours.example; smime=pass",
        "Authentication-Results: gw。ours。example; smime=pass".encode(),
        "Authentication-Results: ｇｗ.ours.example; smime=pass".encode(),
        "Authentication-Results: gw.\u200bours.example; smime=pass".encode(),
        b'Authentication-Results: "gw\\.ours.example" 1; smime=pass',
        b"Authentication-Results:\r\n\t(a (b)) gw.ours.example (c)\r\n 1 ;\r\n smime=pass",
        b"Authentication-Results: =?utf-8?Q?gw.ours.example?=; smime=pass",
        b"Authentication-Results: gw.ours.\r\n example; smime=pass",
        b"ARC-Authentication-Results: i = 1 ; GW.OURS.EXAMPLE.; smime=pass",
        b" Authentication-Results: gw.ours.example; smime=pass",
        b"Authentication-Results\r\n : gw.ours.example; smime=pass",
        b"X-Smimegw-Status\t :\r\n signed=pass",
    ],
)
def test_result_field_that_some_reader_takes_for_ours_is_removed(field: bytes) -> None:
    """Whatever is near to our name and not plainly another's goes (K01, K03, K05)."""
    header = parse_header_section(field + b"\r\nFrom: bob@partner.example\r\n")
    assert [entry.lower_name for entry in strip_results(header, "gw.ours.example").header] == [
        "from"
    ]


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.other.example; spf=pass",
        b"Authentication-Results: mx.gw.ours.example; spf=pass",
        b"Authentication-Results: mx.other.example; dkim=pass (gw.ours.example; smime=pass)",
        b'Authentication-Results: mx.other.example; dkim=fail reason="a;b(c" header.d=x',
        b"ARC-Authentication-Results: i=1; mx.other.example; dkim=pass",
    ],
)
def test_result_field_of_another_server_stays(field: bytes) -> None:
    """Foreign results are not ours to remove (K05)."""
    header = parse_header_section(field + b"\r\n")
    assert strip_results(header, "gw.ours.example").header == header


@pytest.mark.parametrize(
    "written", ["gw.bücher.example", "gw.BÜCHER.example.", "gw.xn--bcher-kva.example"]
)
def test_own_international_name_is_recognised_in_both_forms(written: str) -> None:
    """A-label or U-label: one name (K03)."""
    field = f"Authentication-Results: {written}; smime=pass\r\n".encode()
    stripped = strip_results(parse_header_section(field), "gw.xn--bcher-kva.example")
    assert not stripped.header.fields


def test_fields_removed_at_the_top_do_not_glue_what_follows_to_ours() -> None:
    """A first line that looks like a continuation never becomes part of our fields (K11)."""
    company = Company()
    company.user(ALICE)
    content = b" smime=pass\r\n" + message(BOB, ALICE)
    company.send("mx", (ALICE,), content, reverse_path=BOB)
    header = Entity.parse(company.arrived[0]).header
    assert not any(b"smime=pass" in entry.raw for entry in header)


@pytest.mark.parametrize(
    "shown",
    [
        '"boss@ours.example"',
        "=?utf-8?Q?boss=40ours=2Eexample?=",
        '"boss＠ours．example"',
        '"boss\u200b@ours.example"',
        '"[boss@ours.example]"',
    ],
)
def test_another_address_in_the_display_name_is_warned_of(shown: str) -> None:
    """As people see it, whatever the characters are (I05)."""
    (author,) = parse_mailboxes(f"{shown} <bob@partner.example>")
    assert shows_other_address(author)


@pytest.mark.parametrize(
    "shown",
    [
        '"=?utf-8?Q?boss=40ours=2Eexample?="',
        "=?utf-8?Q?boss?==?utf-8?Q?=40ours=2Eexample?=",
        "=?utf-7?Q?boss+AEA-ours.example?=",
        "=?utf-16be?B?AGIAbwBzAHMAQABvAHUAcgBzAC4AZQB4AGEAbQBwAGwAZQ==?=",
    ],
)
def test_address_in_an_encoded_word_where_none_may_be_is_warned_of(shown: str) -> None:
    """Quoted, without a space between, or in a character set for octets: many decode it (I05)."""
    author = sole_mailbox((f"{shown} <bob@partner.example>".encode(),))
    assert shows_other_address(author)


@pytest.mark.parametrize(
    "body",
    [
        b"bob@partner.example (boss@ours.example)",
        b"(boss@ours.example) <bob@partner.example>",
        b"bob@partner.example (=?utf-8?Q?The_=28boss=40ours.example=29?=)",
    ],
)
def test_another_address_in_a_comment_is_warned_of(body: bytes) -> None:
    """Names stood there once, and readers still show them (RFC 5322, 3.4; I05)."""
    assert shows_other_address(sole_mailbox((body,)))


def test_own_address_in_a_comment_is_no_reason_to_warn() -> None:
    """It says what is so (I05)."""
    assert not shows_other_address(
        sole_mailbox((b"bob@partner.example (Bob (bob@partner.example))",))
    )


@pytest.mark.parametrize(
    "shown", ['"bob@partner.example"', '"Bob @ Partner"', '"<BOB@PARTNER.example>"']
)
def test_own_address_in_the_display_name_is_no_reason_to_warn(shown: str) -> None:
    """Many programs write it there (I05)."""
    (author,) = parse_mailboxes(f"{shown} <bob@partner.example>")
    assert not shows_other_address(author)


def test_own_international_address_in_the_display_name_is_no_reason_to_warn() -> None:
    """U-label there, A-label here: one address (I05)."""
    (author,) = parse_mailboxes('"bob@bücher.example" <bob@xn--bcher-kva.example>')
    assert not shows_other_address(author)


def test_long_display_name_is_read_in_linear_time() -> None:
    """100 KB of one letter once took a minute: every start was tried with every end."""
    (author,) = parse_mailboxes('"' + "a" * 90_000 + '" <bob@partner.example>')
    assert not shows_other_address(author)


def test_address_in_the_subject_alone_does_not_pass(tmp_path: Path) -> None:
    """Only a subjectAltName says whose signature it is (delivery: pass needs all of)."""
    company = Company()
    company.user(ALICE)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, BOB)])
    files = Files.of(company.ca.issue(None, san=(), subject=subject), tmp_path, "bob")
    mail = openssl("cms", "-sign", "-signer", files.certificate, "-inkey", files.key,
                   "-from", BOB, "-to", ALICE, "-subject", "s", "-crlfeol",
                   stdin=b"Content-Type: text/plain\r\n\r\nx\r\n")  # fmt: skip
    company.send("mx", (ALICE,), with_crlf(mail), reverse_path=BOB)
    (results,) = Entity.parse(company.arrived[0]).header.all("authentication-results")
    assert b'smime=policy reason="no-alternative-name"' in results.body
