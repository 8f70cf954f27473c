"""Judges one complete path against RFC 5280, 6.1; the only place that knows the path validator.

pyhanko-certvalidator gets exactly this path: no search, no fetching, no system trust list and no
revocation.  What RFC 5280 leaves to the application – key strength, purposes of CAs, limits that
a trust anchor puts on itself – is checked here before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from asn1crypto import core as asn1_core
from asn1crypto import x509 as asn1_x509
from pyhanko_certvalidator.authority import CertTrustAnchor, TrustQualifiers
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    NotYetValidError,
)
from pyhanko_certvalidator.name_trees import (
    default_excluded_subtrees,
    default_permitted_subtrees,
    process_general_subtrees,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    NO_REVOCATION,
    CertRevTrustPolicy,
    PKIXValidationParams,
)
from pyhanko_certvalidator.validate import async_validate_path

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509 import lint
from smimegw.x509.certificate import Certificate
from smimegw.x509.constraints import check_constraints

T = TypeVar("T")

_ANY, _ANY_POLICY = "any_policy", "2.5.29.32.0"  # the library's word for it, and its identifier


def judge(
    path: tuple[Certificate, ...],
    now: datetime,
    *,
    limits: Limits = DEFAULT_LIMITS,
    policies: Sequence[str] = (),
) -> None:
    """Accept *path*, end-entity … trust anchor, at the time *now*; revocation is not looked at.

    With *policies* it must be valid under one of them.

    Raises:
        CertificateError: ``expired``, ``not-yet-valid``, ``weak-key``, ``weak-signature``,
            ``extended-key-usage``, ``path`` or ``limits``.
    """
    anchor = path[-1]
    for authority in path[1:]:
        flaw = (
            lint.validity_flaw(authority, now)
            or lint.key_flaw(authority, limits=limits)
            or lint.purpose_flaw(authority)  # a CA for web servers cannot speak about mail
        )
        if flaw:
            raise CertificateError(flaw, authority.subject_text)
    for certificate in path[:-1]:
        if flaw := lint.weak_hash_flaw(certificate):
            raise CertificateError(flaw, certificate.subject_text)
    usage = anchor.key_usage
    if not anchor.is_ca or (usage is not None and not usage.key_cert_sign):
        raise CertificateError("path", f"trust anchor is no CA: {anchor.subject_text}")
    check_constraints(path, limits=limits)
    try:
        _run(_validation(path, now, policies))
    except (CertificateError, MemoryError):
        raise
    except ExpiredError as exc:
        raise CertificateError("expired", str(exc)) from exc
    except NotYetValidError as exc:
        raise CertificateError("not-yet-valid", str(exc)) from exc
    except DisallowedAlgorithmError as exc:
        raise CertificateError("weak-signature", str(exc)) from exc
    except Exception as exc:
        # The library parses lazily, so oddities of a certificate surface as any exception.
        raise CertificateError("path", str(exc)) from exc


def _validation(
    path: tuple[Certificate, ...], now: datetime, policies: Sequence[str]
) -> Coroutine[Any, Any, asn1_x509.Certificate]:
    leaf, *intermediates, anchor = [
        _with_a_labels(_with_named_curve(certificate)) for certificate in path
    ]
    trust_anchor = CertTrustAnchor(anchor, _anchor_qualifiers(anchor, len(path), policies))
    context = ValidationContext(
        trust_roots=[anchor],
        moment=now,
        allow_fetching=False,
        revinfo_policy=CertRevTrustPolicy(NO_REVOCATION),
        time_tolerance=timedelta(0),
    )
    chain = ValidationPath(trust_anchor, intermediates[::-1], leaf)
    return async_validate_path(context, chain)


def _anchor_qualifiers(
    anchor: asn1_x509.Certificate, path_length: int, policies: Sequence[str]
) -> TrustQualifiers:
    """Make the anchor's own limits count (RFC 5937); the library ignores them by default.

    Its own derivation from the certificate fails when only some kinds of names are constrained.
    """
    permitted, excluded = default_permitted_subtrees(), default_excluded_subtrees()
    constraints = anchor.name_constraints_value
    if constraints is not None:
        if isinstance(constraints["permitted_subtrees"], asn1_x509.GeneralSubtrees):
            permitted.update(process_general_subtrees(constraints["permitted_subtrees"]))
        if isinstance(constraints["excluded_subtrees"], asn1_x509.GeneralSubtrees):
            excluded.update(process_general_subtrees(constraints["excluded_subtrees"]))
    return TrustQualifiers(
        standard_parameters=PKIXValidationParams(
            # anyPolicy: there must be one, whichever it is (RFC 5280, 6.1.1 (c) and (f))
            user_initial_policy_set=frozenset(
                [_ANY] if not policies or _ANY_POLICY in policies else policies
            ),
            initial_explicit_policy=bool(policies),
            initial_permitted_subtrees=permitted,
            initial_excluded_subtrees=excluded,
        ),
        max_path_length=anchor.max_path_length,
        max_aa_path_length=path_length,
    )


def _with_its_heirs(parent: type[Any]) -> Iterator[type[Any]]:
    yield parent
    for heir in parent.__subclasses__():
        yield from _with_its_heirs(heir)


# QUIRK 2026-11 asn1crypto 1.5.1: a class finishes itself when its first value is made.  When two
# threads do that at once it stays broken, and no certificate has a path until the process ends.
for _class in set(_with_its_heirs(asn1_core.Asn1Value)):
    with contextlib.suppress(TypeError, ValueError):  # a choice wants a value, but is finished
        _class()


def _with_named_curve(certificate: Certificate) -> asn1_x509.Certificate:
    """Read it again; a curve is named and never described (RFC 5480, 2.1.1; cases H14)."""
    loaded = asn1_x509.Certificate.load(certificate.der, strict=True)
    algorithm = loaded.public_key["algorithm"]
    if algorithm["algorithm"].native == "ec" and algorithm["parameters"].name != "named":
        raise CertificateError("weak-key", certificate.subject_text)
    return loaded


def _with_a_labels(certificate: asn1_x509.Certificate) -> asn1_x509.Certificate:
    # QUIRK 2026-11 asn1crypto 1.5.1: shows user@xn--bcher-kva.example with a U-label but leaves a
    # constraint for the host xn--bcher-kva.example alone, so the validator finds no match and
    # would let an excluded domain pass.  The octets are what RFC 5280, 7.5 compares.
    names = [*(certificate.subject_alt_name_value or ())]
    constraints = certificate.name_constraints_value
    if constraints is not None:
        for kind in ("permitted_subtrees", "excluded_subtrees"):
            if isinstance(constraints[kind], asn1_x509.GeneralSubtrees):
                names += [subtree["base"] for subtree in constraints[kind]]
    for name in names:
        if name.name == "rfc822_name":
            name.chosen._unicode = name.chosen.contents.decode("ascii")
    return certificate


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    # With nothing to fetch the validator never waits, so it needs no event loop and this works
    # in a worker thread as well as inside a running loop.
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # it is what the coroutine returns
    coroutine.close()
    raise RuntimeError("the path validator wanted to wait for something")
