"""Reads the files that the configuration names into what the pipeline needs to know."""

from __future__ import annotations

from collections.abc import Iterable

from smimegw.adapters.files.senders import read_senders
from smimegw.adapters.files.trust import read_certificates, read_crls
from smimegw.addresses import Mailbox
from smimegw.config.choices import Harvest, RevocationMode, TrustSMIMEA
from smimegw.config.model import Configuration
from smimegw.pipeline.settings import Settings, TrustMaterial
from smimegw.pipeline.strip import Claims
from smimegw.smtp.authserv_id import comparable
from smimegw.x509.cache import ValidationCache


def read_settings(configuration: Configuration) -> Settings:
    """The pipeline's values.

    Raises:
        ConfigurationError: Trust material or senders' lists that cannot be read.
    """
    gateway = configuration.gateway
    senders: dict[str, frozenset[str]] = {}
    for listener in configuration.listener.values():
        if listener.senders is not None:
            senders.update(read_senders(listener.senders))
    return Settings(
        hostname=str(gateway.hostname),
        internal_domains=frozenset(str(domain) for domain in gateway.internal_domains),
        strict=gateway.strict,
        shadow=gateway.shadow,
        strict_local_part=frozenset(str(domain) for domain in gateway.strict_local_part),
        keep_original=gateway.keep_original,
        subject_marks=gateway.subject_marks,
        claims=_claims(configuration),
        harvest=configuration.memory.harvest is not Harvest.OFF,
        takes_verified=configuration.memory.harvest is Harvest.VERIFIED,
        trust=read_trust(configuration),
        judgements=ValidationCache(limits=configuration.limits),
        senders=senders,
        postmaster=Mailbox.parse(f"postmaster@{gateway.internal_domains[0]}"),
        limits=configuration.limits,
    )


def _claims(configuration: Configuration) -> dict[str, Claims]:
    """The names of every edge filter are internal ones wherever mail does not come through it."""
    gateway, listeners = configuration.gateway, configuration.listener
    edges = {name: listener.edge_authserv_ids for name, listener in listeners.items()}
    internal = _comparable(
        (*gateway.authserv_ids, *(each for ids in edges.values() for each in ids))
    )
    return {
        name: Claims(internal=internal, kept=_comparable(ids), every=gateway.strip_all_results)
        for name, ids in edges.items()
    }


def _comparable(names: Iterable[str]) -> frozenset[str]:
    return frozenset(form for name in names if (form := comparable(name)) is not None)


def read_trust(configuration: Configuration) -> TrustMaterial:
    """Whom the administrator trusts, and how strictly revocation is judged.

    Raises:
        ConfigurationError: Certificates or lists that cannot be read.
    """
    trust, revocation = configuration.trust, configuration.revocation
    return TrustMaterial(
        anchors=read_certificates(trust.anchors, "trust.anchors"),
        signature_anchors=read_certificates(trust.signature_anchors, "trust.signature_anchors"),
        encryption_anchors=read_certificates(trust.encryption_anchors, "trust.encryption_anchors"),
        intermediates=read_certificates(trust.intermediates, "trust.intermediates"),
        crls=read_crls(trust.crls, "trust.crls"),
        require_revocation=revocation.mode is RevocationMode.REQUIRE,
        crl_grace_seconds=int(revocation.crl_grace.total_seconds()),
        policies=trust.policies,
        believes_dns=trust.smimea is TrustSMIMEA.DNS,
    )
