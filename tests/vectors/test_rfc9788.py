"""The forms of RFC 9788's appendix C, rebuilt with the keys of RFC 9216, reach Bob as meant.

OpenSSL signs and encrypts; the texts are ours.  A form is what is signed (one part or two, simple
or complex), what is encrypted, and how the header section is protected.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from smimegw.mime.entity import Entity
from smimegw.mime.lines import with_crlf
from smimegw.pipeline.admit import Gateway
from smimegw.policy.parse import parse_policy
from tests.fakes.company import POLICY, Company
from tests.fakes.pki import Issued
from tests.interop.openssl import openssl
from tests.vectors.rfc9216 import FILES, authority, material

ALICE, BOB = "alice@smime.example", "bob@smime.example"
SUBJECT = "The Babbage engine, part 7"
OUTER_SUBJECT = "[...]"
FIELDS = {
    "Subject": SUBJECT,
    "Message-ID": "<hp-sample@smime.example>",
    "From": f"Alice <{ALICE}>",
    "To": f"Bob <{BOB}>",
    "Date": "Sat, 20 Feb 2021 10:06:02 -0500",
    "User-Agent": "Sample MUA Version 1.0",
}
SHY = {"From": ALICE, "To": BOB, "Date": "Sat, 20 Feb 2021 15:06:02 +0000"}
TEXT = "Bob, the engine runs.\r\n\r\n-- \r\nAlice\r\n"
HTML = "<html><body><p>Bob, the engine runs.</p></body></html>\r\n"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One message of the appendix.

    Attributes:
        layers: ``multipart``, ``onepart`` or ``encrypted`` (signed inside).
        body: ``simple`` or ``complex``.
        header: ``none``, ``hp``, ``shy``, ``legacy`` (with the fields in the text) or ``rfc8551``.
    """

    layers: str
    body: str
    header: str

    def __str__(self) -> str:
        return f"{self.layers}-{self.body}-{self.header}"


def forms() -> Iterator[Form]:
    for layers, body in itertools.product(
        ("multipart", "onepart", "encrypted"), ("simple", "complex")
    ):
        schemes = ["none", "hp", "rfc8551"]
        if layers == "encrypted":
            schemes += ["shy", "legacy"]  # only what is encrypted hides anything
        for header in schemes:
            yield Form(layers=layers, body=body, header=header)


FORMS = tuple(forms())


def lines(fields: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


def outside(form: Form) -> dict[str, str]:
    """The fields that everybody can read."""
    if form.layers != "encrypted" or form.header == "none":
        return FIELDS
    hidden = {"Subject": OUTER_SUBJECT}
    return {**FIELDS, **hidden, **(SHY if form.header == "shy" else {})}


def payload(form: Form) -> bytes:
    """The Cryptographic Payload (RFC 9788, 2), with the fields as the form has them."""
    parameter, inner = "", ""
    if form.header in ("hp", "shy", "legacy"):
        encrypts = form.layers == "encrypted"
        parameter = '; hp="cipher"' if encrypts else '; hp="clear"'
        inner = lines(FIELDS)
        if encrypts:
            inner += "".join(f"HP-Outer: {n}: {v}\r\n" for n, v in outside(form).items())
    body = with_fields(form, parameter)
    if form.header == "rfc8551":
        whole = "MIME-Version: 1.0\r\n" + lines(FIELDS) + body
        return ("Content-Type: message/rfc822; forwarded=no\r\n\r\n" + whole).encode()
    return ("MIME-Version: 1.0\r\n" + inner + body).encode()


def with_fields(form: Form, parameter: str) -> str:
    """The body with its own fields; *parameter* is for the outermost Content-Type."""
    legacy = f"Subject: {SUBJECT}\r\n\r\n" if form.header == "legacy" else ""
    shown = '; hp-legacy-display="1"' if legacy else ""
    plain = f"text/plain; charset=us-ascii{shown}"
    encoding = "Content-Transfer-Encoding: 7bit\r\n\r\n"
    if form.body == "simple":
        return f"Content-Type: {plain}{parameter}\r\n{encoding}{legacy}{TEXT}"
    text = f"--b\r\nContent-Type: {plain}\r\n{encoding}{legacy}{TEXT}\r\n"
    html = f"--b\r\nContent-Type: text/html; charset=us-ascii\r\n{encoding}{HTML}\r\n--b--\r\n"
    image = (
        "--a\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
        "Content-Disposition: inline; filename=engine.png\r\n\r\niVBORw0KGgo=\r\n\r\n--a--\r\n"
    )
    return (
        f'Content-Type: multipart/mixed; boundary="a"{parameter}\r\n\r\n--a\r\n'
        'Content-Type: multipart/alternative; boundary="b"\r\n\r\n' + text + html + "\r\n" + image
    )


def message(form: Form) -> bytes:
    """The message as OpenSSL and a mail program would make it."""
    detached = () if form.layers == "multipart" else ("-nodetach",)
    cover = openssl(
        "cms", "-sign", "-binary", *detached, "-signer", FILES / "alice.sign.crt",
        "-inkey", FILES / "alice.sign.key", stdin=payload(form),
    )  # fmt: skip
    if form.layers == "encrypted":
        recipients = (FILES / "alice.encrypt.crt", FILES / "bob.encrypt.crt")
        cover = openssl(
            "cms", "-encrypt", "-binary", "-aes128", *recipients, stdin=with_crlf(cover)
        )  # fmt: skip
    return lines(outside(form)).encode() + with_crlf(cover)


@pytest.fixture(scope="module")
def company() -> Company:
    """The gateway of smime.example with Bob's key."""
    company = Company()
    company.world.directory.publish_ca(authority("rsa"))
    own = material("bob", "encrypt")
    company.world.keystore.add(Issued(certificate=own.certificate, key=own.private_key))
    trust = replace(company.settings.trust, anchors=(authority("rsa").certificate,))
    settings = replace(company.settings, internal_domains=frozenset({"smime.example"}), trust=trust)
    rules = parse_policy([("test.toml", POLICY.encode())])
    company.gateway = Gateway(rules, company.world.ports, settings)
    return company


def received(company: Company, content: bytes) -> Entity:
    outcome = company.send("mx", [BOB], content, reverse_path=ALICE)
    assert outcome.reply.code == 250, outcome
    return Entity.parse(company.arrived[-1])


def texts(entity: Entity, name: str) -> list[str]:
    return [entry.body.decode() for entry in entity.header.all(name)]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_form_of_the_appendix_arrives_verified_with_its_subject(
    company: Company, form: Form
) -> None:
    """RFC 9788, C.1 to C.3, with the keys of RFC 9216 (cases H27)."""
    arrived = received(company, message(form))
    opened = "yes" if form.layers == "encrypted" else "no"
    (status,) = texts(arrived, "x-smimegw-status")
    assert status.startswith(f"signed=pass; encrypted={opened}; integrity=signed"), status
    assert texts(arrived, "subject") == [SUBJECT]
    assert b"the engine runs" in arrived.body


@pytest.mark.parametrize("form", [f for f in FORMS if f.layers == "multipart"], ids=str)
def test_changed_form_of_the_appendix_is_not_verified(company: Company, form: Form) -> None:
    """What verifies above does so because of the signature."""
    changed = message(form).replace(b"the engine runs", b"the engine rests")
    (status,) = texts(received(company, changed), "x-smimegw-status")
    assert status.startswith("signed=fail")


def test_forms_are_counted() -> None:
    """Three ways of layers, two bodies, and what each can do with the header section."""
    assert len(FORMS) == 22
