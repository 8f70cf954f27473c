"""Header fields inside that lie: none of them gets outside, and no signature passes for them."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.encrypt import encrypt
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import NOW, Issued, make_ca

ALICE, BOB, EVE = "alice@ours.example", "bob@partner.example", "eve@evil.example"
GCM, CBC = ContentCipher.AES_256_GCM, ContentCipher.AES_256_CBC
REAL = (
    f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: inner\r\n"
    f"HP-Outer: From: {BOB}\r\nHP-Outer: To: {ALICE}\r\nHP-Outer: Subject: [...]\r\n"
)
KIND = 'Content-Type: text/plain; charset=utf-8; hp="cipher"\r\n'


class Scene:
    """Alice's gateway, Bob's key, Eve's, and what they can make of messages."""

    def __init__(self, policy: str = POLICY) -> None:
        self.company = Company(policy=policy)
        self.alice = self.company.user(ALICE)
        self.bob, self.eve = self.company.ca.issue(BOB), self.company.ca.issue(EVE)

    def encrypt(self, inner: Entity, cipher: ContentCipher = GCM) -> Entity:
        chosen = validate(
            self.alice.certificate,
            Evidence(trust_anchors=(self.company.ca.certificate,), require_revocation=False),
            purpose=Purpose.ENCRYPTION,
            mailbox=self.alice.certificate.mailboxes[0],
            now=NOW,
        )
        made = encrypt(inner, [chosen], cipher=cipher)
        return Entity(made.header, b"".join(made.pieces()))

    def receive(
        self, entity: Entity, *, sender: str = BOB, subject: str = "[...]", extra: str = ""
    ) -> bytes:
        outer = Entity.parse(message(sender, ALICE, subject=subject, extra=extra)).header
        content = HeaderSection((*outer, *entity.header)).raw + b"\r\n" + entity.body.whole()
        outcome = self.company.send("mx", [ALICE], content, reverse_path=sender)
        assert outcome.reply.code == 250, outcome
        return self.company.arrived[-1]


def payload(inside: str = REAL, kind: str = KIND, body: str = "text\r\n") -> Entity:
    return Entity.parse(f"{inside}{kind}\r\n{body}".encode())


def sign(inner: Entity, by: Issued, *, opaque: bool = False) -> Entity:
    credential = SigningCredential(by.certificate, by.chain, SoftwareSigningKey(by.key))
    return (sign_opaque if opaque else sign_clear)(inner, credential, now=NOW)


def fields(content: bytes, name: str) -> list[str]:
    return [entry.body.decode() for entry in Entity.parse(content).header.all(name)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_honest_message_gets_its_subject_back(scene: Scene) -> None:
    """The control: if this fails, the attacks below prove nothing."""
    arrived = scene.receive(scene.encrypt(sign(payload(), scene.bob), CBC))
    assert fields(arrived, "subject") == ["inner"]
    assert "smime=pass" in fields(arrived, "authentication-results")[0]


def test_subject_of_unsigned_cbc_is_not_adopted(scene: Scene) -> None:
    """Anybody can change such a ciphertext without its key (T-04, J03)."""
    arrived = scene.receive(scene.encrypt(payload(), CBC))
    assert fields(arrived, "subject") == ["[...]"]
    assert fields(arrived, "x-smimegw-header") == ["form=cipher; reason=unvouched"]


def test_subject_under_a_signature_around_ciphertext_only_is_not_adopted(scene: Scene) -> None:
    """Whoever signs a ciphertext need not know what is in it (J03)."""
    arrived = scene.receive(sign(scene.encrypt(payload(), CBC), scene.bob))
    assert fields(arrived, "subject") == ["[...]"]
    assert "reason=unvouched" in fields(arrived, "x-smimegw-header")[0]


def test_authenticated_ciphertext_of_the_same_author_is_enough(scene: Scene) -> None:
    """AuthEnvelopedData cannot be changed (RFC 5083); inner and outer From agree."""
    assert fields(scene.receive(scene.encrypt(payload())), "subject") == ["inner"]


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (REAL.replace(f"\r\nFrom: {BOB}", ""), ""),
        (REAL.replace(f"From: {BOB}", f"From: {EVE}", 1), "from-mismatch"),
        (REAL.replace(f"From: {BOB}\r\n", "", 1), "no-from"),
    ],
    ids=["control", "another author", "no author"],
)
def test_old_ciphertext_under_another_from_shows_no_subject(
    scene: Scene, inside: str, reason: str
) -> None:
    """Who sends it on is not who wrote it (T-05, J09)."""
    arrived = scene.receive(scene.encrypt(payload(inside)))
    assert fields(arrived, "subject") == ["[...]" if reason else "inner"]
    assert (f"reason={reason}" in fields(arrived, "x-smimegw-header")[0]) is bool(reason)
    assert fields(arrived, "from") == [BOB]


@pytest.mark.parametrize(
    "author",
    [
        f"From: {EVE}",
        f"From: {BOB}, {EVE}",
        f"From: {BOB}\r\nFrom: {EVE}",
        f"From: Group: {BOB};",
        "From: nonsense",
    ],
)
@pytest.mark.parametrize("form", ["clear", "opaque", "encrypted"])
def test_signature_does_not_pass_when_the_inner_from_differs(
    scene: Scene, author: str, form: str
) -> None:
    """Two authors are none; From is never replaced (T-08; RFC 9788, 4.4)."""
    signed = sign(
        payload(REAL.replace(f"From: {BOB}", author, 1)), scene.bob, opaque=form != "clear"
    )
    arrived = scene.receive(scene.encrypt(signed) if form == "encrypted" else signed)
    assert 'smime=fail reason="from-mismatch"' in fields(arrived, "authentication-results")[0]
    assert "result=fail; reason=from-mismatch" in fields(arrived, "x-smimegw-signature")[0]
    assert fields(arrived, "from") == [BOB]
    assert fields(arrived, "subject") == ["[...]"]


def test_rule_that_requires_a_signature_sees_the_inner_from() -> None:
    """R-52 counts what is told to the recipient."""
    scene = Scene(POLICY.replace('require = "none"', 'require = "signed"'))
    signed = sign(payload(REAL.replace(f"From: {BOB}", f"From: {EVE}", 1)), scene.bob)
    outer = Entity.parse(message(BOB, ALICE)).header
    content = HeaderSection((*outer, *signed.header)).raw + b"\r\n" + signed.body.whole()
    outcome = scene.company.send("mx", [ALICE], content, reverse_path=BOB)
    assert "(R-52)" in outcome.reply.text


def test_signing_somebody_elses_authenticated_ciphertext_does_not_pass(scene: Scene) -> None:
    """Eve signs, as herself, what Bob encrypted: its inner From says whose it is (I26)."""
    arrived = scene.receive(sign(scene.encrypt(payload()), scene.eve), sender=EVE)
    assert 'smime=fail reason="from-mismatch"' in fields(arrived, "authentication-results")[0]
    assert fields(arrived, "subject") == ["[...]"]


def test_subject_signed_by_somebody_else_is_not_adopted(scene: Scene) -> None:
    """Eve's signature under Bob's name fails, inside as outside (T-08)."""
    arrived = scene.receive(scene.encrypt(sign(payload(), scene.eve)))
    assert "smime=fail" in fields(arrived, "authentication-results")[0]
    assert fields(arrived, "subject") == ["[...]"]


def test_subject_signed_under_an_unknown_authority_is_not_adopted(scene: Scene) -> None:
    """A signature that does not count is worse than none."""
    stranger = make_ca("Stranger CA").issue(BOB)
    arrived = scene.receive(scene.encrypt(sign(payload(), stranger, opaque=True)))
    assert "smime=policy" in fields(arrived, "authentication-results")[0]
    assert fields(arrived, "subject") == ["[...]"]
    assert fields(arrived, "x-smimegw-header") == ["form=cipher; reason=unvouched"]


def test_changed_content_under_a_signature_is_not_adopted(scene: Scene) -> None:
    """The digest is wrong, so nobody knows what the Subject was (I03)."""
    signed = sign(payload(), scene.bob)
    changed = Entity(
        signed.header, signed.body.whole().replace(b"Subject: inner", b"Subject: Inner")
    )
    arrived = scene.receive(scene.encrypt(changed))
    assert fields(arrived, "subject") == ["[...]"]
    assert fields(arrived, "x-smimegw-header") == []


@pytest.mark.parametrize(
    "field",
    [
        "Authentication-Results: gw.ours.example; smime=pass",
        "X-Smimegw-Status: signed=pass; encrypted=yes; integrity=quantum",
        "X-Smimegw-Header: form=cipher; adopted=Subject",
        "X-CipherMail-Info-Signed: True",
        "Received: from bank.example",
        "Return-Path: <ceo@bank.example>",
        "Bcc: carol@ours.example",
        "Reply-To: eve@evil.example",
        "Sender: ceo@bank.example",
        "Resent-From: ceo@bank.example",
        "List-Unsubscribe: <https://evil.example/>",
        "Disposition-Notification-To: eve@evil.example",
        "X-Spam-Flag: NO",
    ],
)
def test_only_listed_fields_come_outside(scene: Scene, field: str) -> None:
    """Whatever a signed and encrypted message says of itself inside (K07)."""
    arrived = scene.receive(scene.encrypt(sign(payload(f"{REAL}{field}\r\n"), scene.bob)))
    name, _, value = field.partition(": ")
    assert fields(arrived, "subject") == ["inner"]
    assert value not in fields(arrived, name)


@pytest.mark.parametrize(
    "subject",
    [
        "Subject: one\r\nSubject: two",
        "Subject: =?utf-8?q?a=0D=0AX-Smimegw-Status:_signed=3Dpass?=",
        "Subject: =?utf-8?b?YQ0KDQpib2R5?=",
        "Subject: grüße",
        f"Subject: {'x' * 20_000}",
        f"Subject: {'x ' * 5_000}",
    ],
)
def test_subject_that_could_break_out_stays_inside(scene: Scene, subject: str) -> None:
    """Line ends in encoded words, 8 bits, two of them, too long: as if there were none (T-12)."""
    inside = REAL.replace("Subject: inner", subject, 1)
    arrived = scene.receive(scene.encrypt(payload(inside)))
    assert fields(arrived, "subject") == ["[...]"]
    assert "withheld=1" in fields(arrived, "x-smimegw-header")[0]


def test_fields_of_a_part_are_not_the_messages(scene: Scene) -> None:
    """hp counts at the root of all layers only (RFC 9788, 4.1)."""
    part = f"--b\r\n{REAL}{KIND}\r\ntext\r\n--b--\r\n"
    entity = payload("", 'Content-Type: multipart/mixed; boundary="b"\r\n', part)
    arrived = scene.receive(scene.encrypt(sign(entity, scene.bob)))
    assert fields(arrived, "subject") == ["[...]"]
    assert fields(arrived, "x-smimegw-header") == []


def test_ciphertext_in_a_part_gives_no_fields(scene: Scene) -> None:
    """It is not even opened (T-04)."""
    inner = scene.encrypt(payload())
    body = b"--b\r\n" + inner.raw + b"\r\n--b--\r\n"
    frame = Entity.parse(b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + body)
    arrived = scene.receive(frame)
    assert fields(arrived, "subject") == ["[...]"]
    assert fields(arrived, "x-smimegw-header") == []


def test_plain_mail_with_the_parameter_is_plain_mail(scene: Scene) -> None:
    """hp without any layer means nothing; our field is not written, a forged one removed (K01)."""
    entity = Entity.parse(f"{KIND}\r\ntext\r\n".encode())
    arrived = scene.receive(
        entity, extra="X-Smimegw-Header: form=cipher; adopted=Subject\r\nHP-Outer: Subject: a\r\n"
    )
    assert fields(arrived, "x-smimegw-header") == []
    assert fields(arrived, "subject") == ["[...]"]


def test_hidden_fields_of_signed_mail_that_was_never_encrypted_stay_inside(scene: Scene) -> None:
    """hp="cipher" in the open hides nothing; the octets stay for the client (R-40)."""
    signed = sign(payload(), scene.bob)
    arrived = scene.receive(signed)
    assert Entity.parse(arrived).body == signed.body
    assert fields(arrived, "subject") == ["[...]"]
    assert fields(arrived, "x-smimegw-header")[0].endswith("; reason=not-encrypted")


def test_replaced_subject_of_signed_mail_is_told(scene: Scene) -> None:
    """A good signature under another Subject: the reader is warned (RFC 9788, 4.4)."""
    kind = KIND.replace("cipher", "clear")
    inside = REAL.partition("HP-Outer")[0]
    arrived = scene.receive(sign(payload(inside, kind), scene.bob), subject="Pay at once")
    assert fields(arrived, "subject") == ["Pay at once"]
    assert fields(arrived, "x-smimegw-header") == [
        "form=clear; protected=From,To,Subject; changed=Subject"
    ]
