"""Makes cases of what a policy file says about them."""

from __future__ import annotations

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher, KeyEncryption
from smimegw.cms.capabilities import Capabilities
from smimegw.policy.forms import CaseForm, ExpectForm, GivenForm
from smimegw.policy.model import Case


def case_of(form: CaseForm, source: str) -> Case:
    """The case that *form* describes."""
    given = form.given
    return Case(
        name=form.name,
        source=source,
        direction=given.direction,
        originator=given.from_,
        recipients=given.to,
        subject=given.subject,
        fields=tuple((given.headers or {}).items()),
        user=given.user,
        size=given.size,
        media_types=given.media_types,
        null_reverse_path=given.null_reverse_path,
        certificate=given.certificate,
        other_readers=given.other_readers,
        reads=_reads(given),
        signing=given.signing,
        thread=given.thread,
        expected=_expected(form.expect),
    )


def _reads(given: GivenForm) -> Capabilities:
    return Capabilities.of(
        given.reads_ciphers, (KeyEncryption.RSA_OAEP_SHA256,) if given.reads_oaep else ()
    )


def _expected(form: ExpectForm) -> tuple[tuple[str, str], ...]:
    values = ((key, getattr(form, key)) for key in ExpectForm.__dataclass_fields__)
    return tuple((key, _word(value)) for key, value in values if value is not None)


def _word(value: object) -> str:
    if isinstance(value, ContentCipher):
        return value.label
    return value.address if isinstance(value, Mailbox) else str(value)
