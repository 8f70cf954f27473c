"""Lints certificates and CRLs with pkilint before they are signed (M20).

A draft is linted, signed by a key that nobody trusts, so a mistake costs no serial number and
nothing wrong ever bears the CA's signature.  Errors refuse; warnings go into the ledger.  The
linter is loaded when it is first needed and then kept: loading takes a second, a certificate ten
milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import keys
from pki.errors import LintError
from pki.profiles import Baseline, Level, Profile
from smimegw.errors import UsageError

NOT_LINTED = "not linted: the package pkilint is not installed (extra: ca)"

_LEVELS = {Level.MAILBOX: "MAILBOX", Level.SPONSORED: "SPONSORED"}
_SHOWN = 5  # findings in one refusal; the same mistake is often found several times


class Severity(IntEnum):
    """How bad a finding is, as pkilint has it."""

    INFO = 1
    NOTICE = 2
    WARNING = 3
    ERROR = 4
    FATAL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a linter remarked."""

    severity: Severity
    code: str
    place: str
    text: str

    def __str__(self) -> str:
        """Return it in one line."""
        text = f": {self.text}" if self.text else ""
        return f"{self.severity.name} {self.code} at {self.place}{text}"


def lint_certificate(
    certificate: x509.Certificate, *, level: Level | None, baseline: Baseline
) -> tuple[Finding, ...]:
    """Return what is remarkable about a certificate, worst first.

    Args:
        certificate: It, or its draft.
        level: None for certificates that are for no mailbox; RFC 5280 alone counts then.
        baseline: The generation of the S/MIME BR; with NONE, RFC 5280 alone counts.

    Raises:
        UsageError: pkilint is not installed.
    """
    if level is None or baseline is Baseline.NONE:
        validator = _pkix_validator()
    else:
        validator = _smime_validator(_LEVELS[level], baseline.name)
    document = _pkilint().load_certificate(certificate.public_bytes(Encoding.DER), "certificate")
    return _findings(validator.validate(document.root))


def lint_crl(crl: x509.CertificateRevocationList) -> tuple[Finding, ...]:
    """Return what is remarkable about a CRL, complete or delta, worst first.

    Raises:
        UsageError: pkilint is not installed.
    """
    document = _pkilint().load_crl(crl.public_bytes(Encoding.DER), "CRL")
    return _findings(_crl_validator().validate(document.root))


def require_clean(findings: Sequence[Finding], what: str) -> tuple[str, ...]:
    """Return the warnings among *findings*, one line each; errors refuse.

    Raises:
        LintError: There are errors; the text names them.
    """
    errors = [str(each) for each in findings if each.severity >= Severity.ERROR]
    if errors:
        more = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        lines = "".join(f"\n  {line}" for line in errors[:_SHOWN])
        raise LintError(
            f"The lint refuses {what}; nothing was signed and no serial number used:{lines}{more}\n"
            "Correct the request, the profile or ca.toml; where the S/MIME Baseline Requirements "
            'shall not hold, write baseline = "none" under [policies].'
        )
    return tuple(str(each) for each in findings if each.severity is Severity.WARNING)


def inspect_draft(
    draft: x509.Certificate, *, profile: Profile, baseline: Baseline
) -> tuple[str, ...]:
    """Lint a draft; return the warnings for the ledger.

    A key that the S/MIME BR do not know, such as one on a Brainpool curve, is linted under RFC 5280
    alone, and its certificate does not say that it follows them.  Without pkilint nothing is
    linted, and the ledger says so; under the S/MIME BR that is refused.

    Raises:
        LintError: The draft has errors.
        UsageError: pkilint is not installed, and the S/MIME BR demand a lint (4.3.1.2).
    """
    if baseline is Baseline.NONE and not is_installed():
        return (NOT_LINTED,)
    if not keys.baseline_allows(keys.accept_public_key(draft.public_key())):
        baseline = Baseline.NONE
    findings = lint_certificate(draft, level=profile.shape.level, baseline=baseline)
    return require_clean(findings, f"a certificate of profile {profile}")


def internal_names(domains: Iterable[str], urls: Iterable[str]) -> tuple[str, ...]:
    """Return the domains and hosts that no public registry gives out.

    The S/MIME BR allow none of them in a certificate (7.1.4.2.1 with the list of public suffixes).
    Nothing is returned where the list is not installed.
    """
    try:
        from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - comes with pkilint
    except ImportError:
        return ()
    known = PublicSuffixList(accept_unknown=False)
    names = [*(name.removeprefix(".") for name in domains), *(_host(url) for url in urls)]
    return tuple(dict.fromkeys(name for name in names if known.publicsuffix(name) is None))


@cache
def is_installed() -> bool:
    """Whether the extra is there."""
    try:
        _pkilint()
    except UsageError:
        return False
    return True


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _findings(results: Any) -> tuple[Finding, ...]:
    found = [
        Finding(
            severity=Severity[description.finding.severity.name],
            code=description.finding.code,
            place=result.node.path,
            text=description.message or "",
        )
        for result in results
        for description in result.finding_descriptions
        if description.finding.severity.name in Severity.__members__
    ]
    return tuple(sorted(found, key=lambda finding: -finding.severity))


@cache
def _pkilint() -> Any:
    try:
        from pkilint import loader  # noqa: PLC0415 - a second, and only the CA's extra has it
    except ImportError as error:
        raise UsageError(
            "Certificates that follow the S/MIME Baseline Requirements have to be linted, and the "
            "package pkilint is not installed. Install smimegw[ca], or write "
            'baseline = "none" under [policies] in ca.toml.'
        ) from error
    return loader


@cache
def _smime_validator(level: str, generation: str) -> Any:
    from pkilint.cabf import smime  # noqa: PLC0415
    from pkilint.cabf.smime import smime_constants  # noqa: PLC0415
    from pkilint.pkix import certificate  # noqa: PLC0415

    return certificate.create_pkix_certificate_validator_container(
        smime.create_decoding_validators(),
        smime.create_subscriber_validators(
            smime_constants.ValidationLevel[level], smime_constants.Generation[generation]
        ),
    )


@cache
def _pkix_validator() -> Any:
    from pkilint.pkix import certificate, extension, name  # noqa: PLC0415

    parts: tuple[Callable[[list[Any]], Any], ...] = (
        certificate.create_issuer_validator_container,
        certificate.create_validity_validator_container,
        certificate.create_subject_validator_container,
        certificate.create_extensions_validator_container,
        certificate.create_spki_validator_container,
    )
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [part([]) for part in parts],
    )


@cache
def _crl_validator() -> Any:
    from pkilint import pkix  # noqa: PLC0415
    from pkilint.pkix import crl, extension, name  # noqa: PLC0415

    parts: tuple[Callable[[list[Any]], Any], ...] = (
        crl.create_issuer_validator_container,
        crl.create_validity_validator_container,
        crl.create_extensions_validator_container,
    )
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [part([]) for part in parts],
    )
