"""Reads the first ca.toml from the options of `init` and `root init`.

The options are remembered beside the command's own parameters: there are many, and all of them end
in one `Settings`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pki import lint
from pki.cli.shell import Command
from pki.keys import KeyKind
from pki.profiles import Baseline
from pki.setting_values import parse_country, parse_domain, parse_url
from pki.settings import Settings
from pki.subjects import clean_name, is_organization_identifier
from smimegw.errors import UsageError

_URLS = {
    "crl_url": "Where readers fetch the issuing CA's CRL.",
    "delta_url": "Where they fetch its delta CRL; makes deltas.",
    "ocsp_url": "Where they ask its OCSP responder.",
    "issuer_url": "Where they fetch its certificate.",
}
_ROOT_URLS = {
    "root_crl_url": "Where they fetch the root's CRL.",
    "root_url": "Where they fetch the root's certificate.",
}


def subject_options(command: Command) -> Command:
    """Add what stands in every subject, and where readers find the root's news."""
    for name, text in reversed(_ROOT_URLS.items()):
        command = _remembered(name, multiple=True, help=text)(command)
    command = _remembered("country", help="Two capital letters; stands in every subject.")(command)
    return _remembered("organization", help="Stands in every subject.")(command)


def issuing_options(command: Command) -> Command:
    """Add `subject_options`, and what certificates of mailboxes may say and point to."""
    for option in (
        _remembered(
            "baseline",
            type=click.Choice([each.value for each in Baseline]),
            help="S/MIME Baseline Requirements to follow.  [default: strict with --crl-url and "
            "public domains, else none]",
        ),
        *(_remembered(name, multiple=True, help=_URLS[name]) for name in reversed(_URLS)),
        _remembered("organization_identifier", help="As NTRDE-HRB.12345; for sponsors."),
        subject_options,
        _remembered(
            "domain", multiple=True, help="Issue for mailboxes of this domain only; repeatable."
        ),
    ):
        command = option(command)
    return command


def read_subject_settings() -> Settings:
    """Return what `subject_options` asked for.

    Raises:
        UsageError: A value is not fit.
    """
    organization = _text("organization")
    return Settings(
        organization=clean_name(organization) if organization else "",
        country=parse_country(_text("country")),
        root_crl_urls=tuple(map(parse_url, _texts("root_crl_url"))),
        root_urls=tuple(map(parse_url, _texts("root_url"))),
    )


def read_settings(kind: KeyKind) -> Settings:
    """Return what `issuing_options` asked for, for a CA with a key of this kind.

    Raises:
        UsageError: A value is not fit, or they contradict each other.
    """
    common = read_subject_settings()
    domains = tuple(parse_domain(domain) for domain in _texts("domain"))
    urls = {name: tuple(map(parse_url, _texts(name))) for name in _URLS}
    located = (
        *common.root_crl_urls,
        *common.root_urls,
        *(u for each in urls.values() for u in each),
    )
    return Settings(
        organization=common.organization,
        country=common.country,
        root_crl_urls=common.root_crl_urls,
        root_urls=common.root_urls,
        organization_identifier=_parse_identifier(_text("organization_identifier")),
        domains=domains,
        crl_urls=urls["crl_url"],
        delta_urls=urls["delta_url"],
        ocsp_urls=urls["ocsp_url"],
        issuer_urls=urls["issuer_url"],
        baseline=_baseline(kind, urls["crl_url"], lint.internal_names(domains, located)),
    )


def _baseline(kind: KeyKind, crl_urls: tuple[str, ...], internal: tuple[str, ...]) -> Baseline:
    given = Baseline(_text("baseline") or Baseline.NONE)
    if given is Baseline.NONE:
        follows = not _text("baseline") and crl_urls and kind.baseline and not internal
        return Baseline.STRICT if follows else Baseline.NONE
    if not kind.baseline:
        raise UsageError(
            f"The S/MIME Baseline Requirements do not allow a CA key of kind {kind} (7.1.3.2). "
            "Take rsa-4096 or p-384, or --baseline none."
        )
    if not crl_urls:
        raise UsageError(
            f"--baseline {given} needs --crl-url: every certificate has to say where its CRL is "
            "(S/MIME BR, 7.1.2.3 b)."
        )
    if internal:
        raise UsageError(
            f"--baseline {given} needs public domains, and {', '.join(internal)} ends in a name "
            "that no registry gives out. Take another domain, or --baseline none."
        )
    return given


def _parse_identifier(text: str) -> str:
    if text and not is_organization_identifier(text):
        raise UsageError(
            f"{text!r} is no organization identifier. Write register, country and number, as "
            "NTRDE-HRB.12345, VATDE-123456789 or LEIXG-… (S/MIME BR, 7.1.4.2.2 d)."
        )
    return text


def _remembered(name: str, **attributes: Any) -> Callable[[Command], Command]:
    def remember(context: click.Context, _: click.Parameter, value: Any) -> None:
        context.meta[f"{__name__}.{name}"] = value

    option = f"--{name.replace('_', '-')}"
    return click.option(option, callback=remember, expose_value=False, **attributes)


def _text(name: str) -> str:
    return str(click.get_current_context().meta.get(f"{__name__}.{name}") or "")


def _texts(name: str) -> tuple[str, ...]:
    return tuple(click.get_current_context().meta.get(f"{__name__}.{name}", ()))
