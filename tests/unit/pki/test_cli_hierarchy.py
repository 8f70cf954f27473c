"""The commands of a root that is elsewhere, of a new key, and of the CA's own keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa

from pki.cli import main
from tests.interop.openssl import openssl
from tests.unit.pki.steps import PASSPHRASE

_POINTERS = "crlDistributionPoints,freshestCRL,authorityInfoAccess"


@dataclass(frozen=True)
class Site:
    """A root's directory, a CA's directory, and what is carried between them."""

    path: Path

    def type(self, where: str, *words: str | Path) -> Result:
        environment = {
            "SMIMEGW_CA_DIRECTORY": str(self.path / where),
            "SMIMEGW_CA_PASSPHRASE_FILE": str(self.path / "passphrase"),
        }
        return CliRunner().invoke(main, [str(word) for word in words], env=environment)

    def succeed(self, where: str, *words: str | Path) -> str:
        result = self.type(where, *words)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, where: str, *words: str | Path) -> dict[str, object]:
        """The last object that a command answers with."""
        found: dict[str, object] = json.loads(
            self.succeed(where, *words, "--json").splitlines()[-1]
        )
        return found

    def carry(self, place: str = "issuing") -> None:
        """Request out, certificate and CRL back."""
        request = self.path / "ca" / place / "request.pem"
        answer, crl = self.path / f"{place}.pem", self.path / f"{place}.crl"
        self.succeed("root", "root", "sign", request, "--domain", "example.com", "-o", answer, "-y")
        self.succeed("root", "root", "crl", "-o", crl)
        self.succeed("ca", "install", answer, crl, "-y")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A root, and a CA that waits for its answer."""
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    made = Site(tmp_path)
    made.succeed("root", "root", "init", "--name", "Corp Root", "--key", "p-256")
    made.succeed(
        "ca",
        *("init", "--name", "Corp Mail CA", "--key", "p-256", "--domain", "example.com"),
        *("--external-root", "--crl-url", "http://pki.example.com/issuing.crl"),
    )
    return made


def _extension(site: Site, serial: str, kind: type) -> x509.ExtensionType:
    pem = (site.path / "ca" / "issued" / serial / "certificate.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(kind).value


def test_a_ca_below_a_root_elsewhere_issues(site: Site) -> None:
    """The whole way, as an administrator types it (RFC 2986; T-29)."""
    assert "no certificate yet" in site.type("ca", "issue", "a@example.com").stderr
    site.carry()
    serial = site.succeed("ca", "issue", "a@example.com", "--key", "p-256").strip()
    assert "Corp Root" in site.succeed("ca", "status")
    assert serial in site.json("ca", "show", serial)["serial"]


def test_what_is_issued_follows_the_baseline_requirements(site: Site) -> None:
    """The root elsewhere changes nothing of that (S/MIME BR, 7.1.6.1)."""
    site.carry()
    serial = site.succeed("ca", "issue", "a@example.com", "--key", "p-256").strip()
    found = _extension(site, serial, x509.CertificatePolicies)
    assert [policy.policy_identifier.dotted_string for policy in found] == ["2.23.140.1.5.1.3"]


def test_the_root_shows_what_it_signed(site: Site) -> None:
    """The CA, and the CRL that was carried."""
    site.carry()
    said = site.json("root", "root", "status")
    assert [item["name"] for item in said["signed"]] == ["CN=Corp Mail CA"]
    assert said["crl"]["number"] == 2


def test_the_root_has_to_say_for_which_domains(site: Site) -> None:
    """Forgetting name constraints is not a default (T-29)."""
    request = site.path / "ca" / "issuing" / "request.pem"
    result = site.type("root", "root", "sign", request, "-o", site.path / "x.pem", "-y")
    assert result.exit_code == 2
    assert "--any-domain" in result.stderr


def test_an_answer_is_never_overwritten(site: Site) -> None:
    """It could be the only copy."""
    (site.path / "x.pem").write_text("precious")
    request = site.path / "ca" / "issuing" / "request.pem"
    options = ("--domain", "example.com", "-o", site.path / "x.pem", "-y")
    assert site.type("root", "root", "sign", request, *options).exit_code == 2
    assert (site.path / "x.pem").read_text() == "precious"


def test_trusting_a_root_is_asked(site: Site) -> None:
    """Without --yes and without anybody there nothing is trusted."""
    request = site.path / "ca" / "issuing" / "request.pem"
    answer = site.path / "answer.pem"
    site.succeed("root", "root", "sign", request, "--domain", "example.com", "-o", answer, "-y")
    result = site.type("ca", "install", answer, "--no-input")
    assert result.exit_code == 2
    assert "Trust the root CN=Corp Root, sha256:" in result.stderr
    assert "no certificate yet" in site.type("ca", "issue", "a@example.com").stderr


def test_what_is_no_certificate_is_not_installed(site: Site) -> None:
    """The text says which files are wanted."""
    (site.path / "nonsense").write_text("hello")
    result = site.type("ca", "install", site.path / "nonsense")
    assert result.exit_code == 2
    assert "neither a certificate nor a CRL" in result.stderr


def test_a_rollover_by_the_root_elsewhere(site: Site) -> None:
    """The new key issues, and both keys list (RFC 4210, 4.4)."""
    site.carry()
    old = site.succeed("ca", "issue", "a@example.com", "--key", "p-256").strip()
    site.succeed("ca", "rollover", "--external-root", "--key", "p-256", "-y")
    site.carry("issuing-2")
    new = site.succeed("ca", "issue", "b@example.com", "--key", "p-256").strip()
    urls = []
    for serial in (old, new):
        (point,) = _extension(site, serial, x509.CRLDistributionPoints)
        urls.append(point.full_name[0].value)
    assert urls == [
        "http://pki.example.com/issuing.crl",
        "http://pki.example.com/issuing-2.crl",
    ]
    site.succeed("ca", "crl", "make", "-o", site.path / "out.crl")
    names = sorted(path.name for path in site.path.glob("out*"))
    assert names == ["out-2.crl", "out.crl"]


def test_a_rollover_in_one_directory(site: Site, tmp_path: Path) -> None:
    """One command; the answer names the cross certificates."""
    site.succeed("small", "init", "--name", "Small CA", "--key", "p-256")
    said = site.json("small", "rollover", "--key", "p-256", "-y")
    assert said["place"] == "issuing-2"
    assert len(said["cross_certificates"]) == 2
    assert site.type("small", "status").exit_code == 0


def test_a_rollover_is_asked(site: Site) -> None:
    """A new key is for years."""
    site.succeed("small", "init", "--name", "Small CA", "--key", "p-256")
    result = site.type("small", "rollover", "--no-input")
    assert result.exit_code == 2
    assert "a new key?" in result.stderr
    assert not (site.path / "small" / "issuing-2").exists()


# --- keys ----------------------------------------------------------------------------------------


def test_an_experimental_key_has_to_be_wanted(site: Site) -> None:
    """Hardly any program reads it yet (RFC 9881)."""
    words = ("init", "--name", "New CA", "--key", "ml-dsa-65")
    result = site.type("new", *words)
    assert result.exit_code == 2
    assert "--experimental" in result.stderr
    site.succeed("new", *words, "--experimental")
    pem = (site.path / "new" / "root" / "certificate.pem").read_bytes()
    assert isinstance(x509.load_pem_x509_certificate(pem).public_key(), mldsa.MLDSA65PublicKey)


def test_an_experimental_subscribers_key_has_to_be_wanted(site: Site) -> None:
    """Also for people (RFC 9935)."""
    site.carry()
    words = ("issue", "a@example.com", "--key", "ml-kem-768", "--profile", "mailbox-encrypt")
    assert "--experimental" in site.type("ca", *words).stderr
    site.succeed("ca", *words, "--experimental")


def test_a_key_that_cannot_sign_is_none_for_a_ca(site: Site) -> None:
    """It is not among the choices."""
    result = site.type("new", "init", "--name", "X", "--key", "x25519")
    assert result.exit_code == 2
    assert "is not one of" in result.stderr


@pytest.mark.parametrize("lonely", [("--token", "pkcs11:token=x"), ("--pin-file", "pin")])
def test_token_and_pin_go_together(site: Site, lonely: tuple[str, str]) -> None:
    """And no PIN is typed into a command line."""
    result = site.type("new", "init", "--name", "X", *lonely)
    assert result.exit_code == 2
    assert "go together" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--baseline", "strict"), "needs --crl-url"),
        (
            (
                "--baseline",
                "strict",
                "--crl-url",
                "http://a.example/x",
                "--key",
                "brainpool-p256r1",
            ),
            "do not allow a CA key",
        ),
        (("--organization-identifier", "HRB 12345"), "no organization identifier"),
        (
            (
                "--baseline=strict",
                "--crl-url=http://pki.example.com/x.crl",
                "--domain=corp.example",
            ),
            "public domains, and corp.example",
        ),
        (("--ocsp-url", "https://pki.example.com/ocsp"), "does not begin with http://"),
    ],
)
def test_options_that_cannot_be_kept_are_refused(
    site: Site, words: tuple[str, ...], text: str
) -> None:
    """Before anything is made."""
    result = site.type("new", "init", "--name", "X", *words)
    assert result.exit_code == 2
    assert text in result.stderr
    assert not (site.path / "new").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), "none"),
        (("--crl-url", "http://pki.example.com/x.crl"), "strict"),
        (
            ("--crl-url", "http://pki.example.com/x.crl", "--baseline", "multipurpose"),
            "multipurpose",
        ),
        (("--crl-url", "http://pki.example.com/x.crl", "--baseline", "none"), "none"),
        (("--crl-url", "http://pki.example.com/x.crl", "--key", "brainpool-p256r1"), "none"),
        (("--crl-url", "http://pki.example.com/x.crl", "--domain", "corp.example"), "none"),
        (("--crl-url", "http://pki.corp.local/x.crl", "--domain", "example.com"), "none"),
    ],
)
def test_the_baseline_is_strict_where_it_can_be_kept(
    site: Site, words: tuple[str, ...], wanted: str
) -> None:
    """Each certificate says where its CRL is (S/MIME BR, 7.1.2.3 b), and names public domains."""
    site.succeed("new", "init", "--name", "X", "--key", "p-256", *words)
    assert f'baseline = "{wanted}"' in (site.path / "new" / "ca.toml").read_text()


def test_certificates_point_to_what_init_was_told(site: Site) -> None:
    """CRL, delta, OCSP and issuer (RFC 5280, 4.2.1.13, 4.2.1.15, 4.2.2.1)."""
    at = "http://pki.example.com"
    site.succeed(
        *("new", "init", "--name", "X", "--key", "p-256", "--domain", "example.com"),
        *("--crl-url", f"{at}/a.crl", "--delta-url", f"{at}/b.crl"),
        *("--ocsp-url", f"{at}/ocsp", "--issuer-url", f"{at}/c.cer"),
    )
    issued = site.succeed("new", "issue", "alice@example.com", "--key", "p-256").strip()
    pem = (site.path / "new" / "issued" / issued / "certificate.pem").read_bytes()
    text = openssl("x509", "-noout", "-ext", _POINTERS, stdin=pem).decode()
    for place in ("a.crl", "b.crl", "ocsp", "c.cer"):
        assert f"URI:{at}/{place}" in text
    assert (site.path / "new" / "issuing" / "delta.der").exists()


def test_a_ca_that_will_not_follow_the_baseline_requirements_is_told_at_once(site: Site) -> None:
    """Not with the first certificate; also where the root is elsewhere."""
    words = ("--crl-url", "http://pki.corp.example/x.crl", "--domain", "corp.example")
    for more in ((), ("--external-root",)):
        where = f"new{len(more)}"
        result = site.type(where, "init", "--name", "X", "--key", "p-256", *words, *more)
        assert result.exit_code == 0
        assert "no registry gives out" in result.stderr


def test_status_says_that_the_root_has_not_answered(site: Site) -> None:
    """And what is to be done at the root."""
    result = site.type("ca", "status")
    assert result.exit_code == 3
    assert "waits for its certificate" in result.stderr
    assert str(site.path / "ca" / "issuing" / "request.pem") in result.stderr


def test_a_rollover_without_the_roots_key_changes_nothing(site: Site) -> None:
    """The text names both ways (the key comes back, or a request goes out)."""
    site.carry()
    result = site.type("ca", "rollover", "--key", "p-256", "-y")
    assert result.exit_code == 2
    assert "--external-root" in result.stderr
    assert not (site.path / "ca" / "issuing-2").exists()


def test_the_next_command_is_for_the_same_directory(site: Site) -> None:
    """Whoever copies the line shall not work on another CA."""
    result = CliRunner().invoke(main, ["root", "status", "-d", str(site.path / "root")])
    assert f"Next: smimegw-ca -d {site.path / 'root'} root crl" in result.stderr
