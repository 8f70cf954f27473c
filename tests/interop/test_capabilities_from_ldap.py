"""What a real LDAP directory says of somebody's software decides what he is sent."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import replace

import pytest

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.capabilities import Capabilities
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.smime.media_types import EncryptedLayer, layer_of
from tests.contract.conftest import ldap_settings
from tests.fakes.company import Company, message
from tests.peers.slapd import Slapd

ALICE = "alice@ours.example"
READS = {
    "gcm": Capabilities.of([ContentCipher.AES_256_GCM, ContentCipher.AES_256_CBC]),
    "cbc": Capabilities.of([ContentCipher.AES_128_CBC]),
    "nothing": None,
}


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    """Each of these people is in the directory with what he reads."""
    company = Company()
    company.user(ALICE, key="p256")
    with Slapd() as slapd:
        for name, reads in READS.items():
            address = f"{name}@partner.example"
            issued = company.ca.issue(address, key="p256")
            dn = slapd.add_person(address, certificates=[issued.certificate.der])
            if reads is not None:
                slapd.add(
                    f"dn: {dn}\nchangetype: modify\nadd: smimegwCapabilities\n"
                    f"smimegwCapabilities:: {base64.b64encode(reads.write()).decode()}\n"
                )
        directory = LDAPDirectory(ldap_settings(slapd, deadline_seconds=20.0))
        ports = replace(company.world.ports, directory=directory)
        company.gateway = Gateway(company.gateway.policy, ports, company.settings)
        yield company
        asyncio.run(directory.close())


@pytest.mark.parametrize(
    ("name", "cipher"),
    [
        ("gcm", ContentCipher.AES_256_GCM),
        ("cbc", ContentCipher.AES_128_CBC),
        ("nothing", ContentCipher.AES_256_CBC),
    ],
)
def test_the_cipher_is_one_that_the_directory_says_he_reads(
    company: Company, name: str, cipher: ContentCipher
) -> None:
    """smimegwCapabilities, and without them what everybody reads (RFC 8551, 2.7.1; G24)."""
    to = f"{name}@partner.example"
    outcome = company.send("relay", [to], message(ALICE, to))
    assert outcome.reply.code == 250, outcome.reply
    layer = layer_of(Entity.parse(company.arrived[-1]))
    assert isinstance(layer, EncryptedLayer)
    assert layer.enveloped.cipher is cipher
