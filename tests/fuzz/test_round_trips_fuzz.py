"""What we write we read alike, and where a stream is cut decides nothing."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from ldap3.utils.dn import parse_dn

from smimegw.adapters.ldap.filter import FilterTemplate
from smimegw.adapters.ldap.ldif import write_dn
from smimegw.addresses import Mailbox
from smimegw.cms import asn1, der
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, key_encryption_for
from smimegw.cms.attributes import read_signed_attributes, read_time, write_signed_attributes
from smimegw.cms.capabilities import Capabilities, Capability, read_capabilities
from smimegw.cms.envelope import Recipient, decrypt, encrypt, parse_enveloped
from smimegw.cms.identifiers import issuer_and_serial_number, read_issuer_and_serial_number
from smimegw.cms.verify import digest_of
from smimegw.mime import base64
from smimegw.mime.content_type import parse_disposition, write_parameters
from smimegw.mime.headers import parse_header_section
from smimegw.smtp.authserv_id import authserv_id
from smimegw.smtp.client import Client
from smimegw.smtp.commands import parse_mail, parse_rcpt
from smimegw.smtp.trace import RESULTS, authentication_results, received_field
from smimegw.toml.structure import toml_value
from tests.fakes.pki import NOW
from tests.unit.cms.people import decryption_credential, person

QUICK = settings(max_examples=150, deadline=None)

moments = st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
oids = st.builds(
    lambda first, second, rest: ".".join(map(str, (first, second, *rest))),
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.integers(0, 2**32), max_size=6),
)
capabilities = st.lists(
    st.builds(Capability, oids, st.sampled_from([b"", b"\x05\x00", b"\x02\x02\x00\x80"])),
    max_size=8,
).map(lambda items: Capabilities(tuple(items)))
printable = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Co", "Cn"]), max_size=40)
atoms = st.text(st.sampled_from("abcXYZ089!#$%&'*+-/=?^_`{|}~"), min_size=1, max_size=12)
mailboxes = st.builds(
    lambda local, domain: Mailbox.parse(f'"{local}"@{domain}'),
    atoms | st.text(st.sampled_from("ab .,;:<>()@[]"), min_size=1, max_size=12),
    st.from_regex(r"[a-z0-9]{1,9}\.example", fullmatch=True),
)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    """The same octets in pieces, some of them empty."""
    edges = [0, *sorted(min(place, len(octets)) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(edges)]


cuts = st.lists(st.integers(0, 300), max_size=6)


# --- CMS -----------------------------------------------------------------------------------------


@QUICK
@given(number=st.integers(-(2**500), 2**500), oid=oids, moment=moments, octets=st.binary())
def test_der_values_come_back(number: int, oid: str, moment: datetime, octets: bytes) -> None:
    """Every kind of value that we write (X.690)."""
    assert asn1.read_document(der.integer(number)).integer() == number
    assert asn1.read_document(der.oid(oid)).oid() == oid
    assert read_time(asn1.read_document(der.time(moment))) == moment
    assert asn1.read_document(der.octet_string(octets)).octets() == octets
    assert asn1.read_document(der.bit_string(octets)).bits() == octets


@QUICK
@given(parts=st.lists(st.binary(max_size=9).map(der.octet_string), max_size=6))
def test_sets_hold_what_was_put_in(parts: list[bytes]) -> None:
    """In the order of DER, whatever the order given (X.690, 11.6)."""
    written = der.set_of(parts)
    assert [item.encoded for item in asn1.read_document(written).elements()] == sorted(parts)
    assert der.set_of(reversed(parts)) == written


@QUICK
@given(found=capabilities)
def test_capabilities_come_back(found: Capabilities) -> None:
    """Any algorithm, with and without parameters (RFC 8551, 2.5.2)."""
    assert read_capabilities(asn1.read_document(found.write())) == found


@QUICK
@given(oid=oids, digest=st.binary(min_size=1, max_size=64), moment=moments, found=capabilities)
def test_signed_attributes_come_back(
    oid: str, digest: bytes, moment: datetime, found: Capabilities
) -> None:
    """All that a signer says (RFC 5652, 11; RFC 8551, 2.5)."""
    certificate = person("bob", "p256").certificate
    read = read_signed_attributes(
        write_signed_attributes(
            content_type=oid,
            message_digest=digest,
            certificate=certificate,
            signing_time=moment,
            capabilities=found,
            encryption_certificate=certificate,
        )
    )
    assert (read.content_type, read.message_digest) == (oid, digest)
    assert (read.signing_time, read.capabilities) == (moment, found)
    assert read.names(certificate)
    assert not read.names(person().certificate)
    assert read.encryption_key is not None
    assert read.encryption_key.matches(certificate)


def test_names_of_certificates_come_back() -> None:
    """Issuer and serial number (RFC 5652, 10.2.4)."""
    for issued in (person(), person("bob", "p256")):
        written = asn1.read_document(issuer_and_serial_number(issued.certificate))
        assert read_issuer_and_serial_number(written).matches(issued.certificate)


@QUICK
@given(content=st.binary(max_size=300), places=cuts, digest=st.sampled_from(DigestAlgorithm))
def test_digest_is_that_of_the_whole(
    content: bytes, places: list[int], digest: DigestAlgorithm
) -> None:
    """However the content was cut."""
    assert digest_of(digest, cut(content, places)) == digest_of(digest, (content,))


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=300), places=cuts, cipher=st.sampled_from(ContentCipher))
def test_encryption_is_that_of_the_whole(
    content: bytes, places: list[int], cipher: ContentCipher
) -> None:
    """However the content was cut, with every cipher that we write."""
    bob = person("bob", "p256")
    recipient = Recipient(bob.certificate, key_encryption_for(bob.certificate))
    octets = b"".join(encrypt(cut(content, places), len(content), [recipient], cipher))
    assert decrypt(parse_enveloped(octets), [decryption_credential(bob)]) == content


# --- MIME and the wire ---------------------------------------------------------------------------


@QUICK
@given(content=st.binary(max_size=300), places=cuts)
def test_base64_lines_are_those_of_the_whole(content: bytes, places: list[int]) -> None:
    """However the content was cut (RFC 2045, 6.8)."""
    whole = b"".join(base64.encode_lines((content,)))
    assert b"".join(base64.encode_lines(cut(content, places))) == whole
    assert base64.decode(whole) == content


@QUICK
@given(kind=st.from_regex(r"[a-z]{1,9}", fullmatch=True), name=printable)
def test_dispositions_come_back(kind: str, name: str) -> None:
    """Any file name (RFC 2183; RFC 2231)."""
    written = write_parameters(kind, (("filename", name),))
    assert parse_disposition(written.encode("ascii")) == (kind, (("filename", name),))


@QUICK
@given(mailbox=mailboxes, size=st.integers(0, 10**12))
def test_commands_come_back(mailbox: Mailbox, size: int) -> None:
    """What our client says our listener understands (RFC 5321, 4.1.1)."""
    client = Client()
    client.receive(b"220 mx\r\n")
    client.hello("gw.ours.example")
    client.receive(b"250-mx\r\n250-PIPELINING\r\n250 SIZE\r\n")
    sender = client.mail(mailbox, [("SIZE", str(size))]).removesuffix(b"\r\n")
    parsed = parse_mail(sender.removeprefix(b"MAIL "))
    assert (parsed.mailbox, parsed.size) == (mailbox, size)
    recipient = client.recipient(mailbox, [("NOTIFY", "NEVER")]).removesuffix(b"\r\n")
    again = parse_rcpt(recipient.removeprefix(b"RCPT "))
    assert (again.mailbox, again.parameter("NOTIFY")) == (mailbox, "NEVER")


@QUICK
@given(
    result=st.sampled_from(sorted(RESULTS)),
    said=st.text(min_size=1, max_size=300),
    name=st.from_regex(r"[a-z0-9]{1,9}\.example", fullmatch=True),
)
def test_results_are_ours_whatever_they_tell(result: str, said: str, name: str) -> None:
    """A stranger's name in them neither ends the field nor makes it somebody else's (T-12)."""
    entry = authentication_results(
        name, result, explanation=said, identifier=said, serial="1", issuer=said
    )
    assert parse_header_section(entry.raw).fields == (entry,)
    assert authserv_id(entry.body) == name
    assert all(len(line) <= 998 for line in entry.raw.split(b"\r\n"))


@QUICK
@given(helo=st.text(max_size=300), recipient=st.text(max_size=60))
def test_trace_fields_are_one_field(helo: str, recipient: str) -> None:
    """Whatever a client calls itself (T-12)."""
    entry = received_field(
        helo=helo,
        peer="192.0.2.1",
        host="gw.ours.example",
        protocol="ESMTP",
        transaction_id="a1",
        now=NOW,
        recipient=recipient,
    )
    assert parse_header_section(entry.raw).fields == (entry,)


# --- directories and files -----------------------------------------------------------------------


@QUICK
@given(mailbox=mailboxes)
def test_filters_ask_for_the_mailbox(mailbox: Mailbox) -> None:
    """The value that the server compares is the address (RFC 4515, 3)."""
    written = FilterTemplate("(mail=%{address})").write(mailbox)
    value = written.removeprefix("(mail=").removesuffix(")")
    octets, at = bytearray(), 0
    while at < len(value):
        if value[at] == "\\":
            octets.append(int(value[at + 1 : at + 3], 16))
            at += 3
        else:
            octets.append(ord(value[at]))
            at += 1
    assert octets.decode() == mailbox.address


@QUICK
@given(value=st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=1, max_size=30))
def test_names_of_entries_stay_one_name(value: str) -> None:
    """A person's name in a DN ends neither the value nor the RDN (RFC 4514, 2.4)."""
    written = write_dn("cn", value, "dc=example")
    assert len(parse_dn(written)) == 2


toml_values = st.recursive(
    st.text(max_size=20) | st.booleans() | st.integers(-(2**60), 2**60),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@QUICK
@given(value=toml_values)
def test_toml_comes_back(value: object) -> None:
    """What documentation and commands show can be pasted into a file."""
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}
