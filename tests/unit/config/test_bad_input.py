"""Seeded mistakes: every message names file, line, key and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smimegw.config.load import load
from smimegw.errors import ConfigurationError

# what stands in the good file, what it is replaced with, line and key of the complaint, its words
_HOST = 'hostname = "gw.corp.example"'
_INTERNAL = 'internal_domains = ["corp.example"]'
_RELAY = 'address = "127.0.0.1:10025"'
_PEERS = 'peers = ["192.0.2.10"]'
_MX = 'address = "127.0.0.1:10035"'
_OUT = 'address = "127.0.0.1:10026"'
_URL = 'url = "ldaps://ldap.corp.example"'
_BASE = 'base = "ou=people,dc=corp,dc=example"'
_TLS = 'tls = { mode = "verify" }'
_DEADLINE = 'deadline = "2s"'
_FORMAT = 'format = "postfix"'
_MISTAKES = [
    ("version = 1", "", None, "version", ["missing", "version = 1"]),
    ("version = 1", "version = 2", 1, "version", ["2", "Allowed: 1"]),
    ("version = 1", 'version = "1"', 1, "version", ['"1"', "a whole number"]),
    ("version = 1", "version = true", 1, "version", ["true", "a whole number"]),
    ("version = 1", "version = 1\nversoin = 1", 2, "versoin", ["unknown key", "version?"]),
    ("version = 1", "version = ", 1, "", ["not valid TOML"]),
    ("version = 1", f"version = 0x{'f' * 5000}", 1, "version", ["a number of more than 64 bits"]),
    (_FORMAT, _FORMAT + "\n[limits]\nlookup_seconds = nan", 27, "limits.lookup_seconds", ["nan"]),
    ("version = 1", f"\nversion = {'9' * 5000}", 2, "", ["too many digits"]),
    ("[gateway]", "[gatway]", 2, "gatway", ["unknown key", "Did you mean gateway?"]),
    (_HOST, "", 2, "gateway.hostname", ["missing", 'hostname = "gw.corp.example"']),
    (_HOST, 'hostname = "gw corp"', 3, "gateway.hostname", ["not a domain", "corp.example"]),
    (_HOST, "hostname = 7", 3, "gateway.hostname", ["7", "not a domain"]),
    (_HOST, _HOST + '\nhostnam = ""', 4, "gateway.hostnam", ["Did you mean hostname?"]),
    (_INTERNAL, "internal_domains = []", 4, "gateway.internal_domains", ["empty", "["]),
    (
        _INTERNAL,
        'internal_domains = "corp.example"',
        4,
        "gateway.internal_domains",
        ["not a list", '["corp.example"]'],
    ),
    (
        _INTERNAL,
        'internal_domains = ["corp.example",\n"@x"]',
        5,
        "gateway.internal_domains[1]",
        ['"@x"', "not a domain"],
    ),
    (_INTERNAL, _INTERNAL + "\nstrict = 1", 5, "gateway.strict", ["true or false"]),
    (_INTERNAL, _INTERNAL + '\nstrict = "no"', 5, "gateway.strict", ["true or false"]),
    (_INTERNAL, _INTERNAL + "\nworker_threads = 0", 5, "gateway.worker_threads", ["1 and 256"]),
    (_INTERNAL, _INTERNAL + "\nstate_directory = 5", 5, "gateway.state_directory", ["a path"]),
    (_RELAY, "", 5, "listener.relay.address", ["missing", '"127.0.0.1:10025"']),
    (_RELAY, 'address = "127.0.0.1"', 6, "listener.relay.address", ["host:port"]),
    (_RELAY, 'address = ":10025"', 6, "listener.relay.address", ["host:port"]),
    (_RELAY, 'address = "::1:10025"', 6, "listener.relay.address", ["host:port", "[::1]"]),
    (_RELAY, 'address = "127.0.0.1:99999"', 6, "listener.relay.address", ["65535"]),
    (_RELAY, 'address = "127.0.0:25"', 6, "listener.relay.address", ["host:port"]),
    (_RELAY, "address = 10025", 6, "listener.relay.address", ["10025", "host:port"]),
    (_RELAY, _RELAY + '\nprotocol = "http"', 7, "listener.relay.protocol", ["smtp, lmtp"]),
    (_RELAY, _RELAY + '\nrole = "outbound"', 7, "listener.relay.role", ["submission, relay, mx"]),
    (_RELAY, _RELAY + '\nnext_hop = "ot"', 7, "listener.relay.next_hop", ["out?", "out, in"]),
    (_RELAY, _RELAY + '\nauth = "next-hop"', 7, "listener.relay.auth", ["only for role"]),
    (_RELAY, _RELAY + '\nsenders = "f"', 7, "listener.relay.senders", ["only for role"]),
    (_RELAY, _RELAY + "\ntls = true", 7, "listener.relay.tls", ["not a table", "certificate"]),
    (
        _RELAY,
        _RELAY + '\ntls = { certificate = "c", key = "secret" }',
        7,
        "listener.relay.tls.key",
        ["never stands in this file", "credential"],
    ),
    (
        _RELAY,
        _RELAY + '\ntls = { certificate = "c", key = { env = "SMIMEGW_NO_SUCH_KEY" } }',
        7,
        "listener.relay.tls.key",
        ["SMIMEGW_NO_SUCH_KEY", "is empty or not set"],
    ),
    (
        _RELAY,
        _RELAY + '\ntls = { certificate = "c", key = { fil = "K" } }',
        7,
        "listener.relay.tls.key.fil",
        ["Did you mean file?"],
    ),
    (
        _RELAY,
        _RELAY + '\ntls = { certificate = "c", key = { file = "a", env = "K" } }',
        7,
        "listener.relay.tls.key",
        ["exactly one"],
    ),
    (_PEERS, "", 5, "listener.relay.peers", ["nobody could connect", "192.0.2.10"]),
    (_PEERS, 'peers = ["192.0.2.10/24"]', 7, "listener.relay.peers[0]", ["Host bits", "/24"]),
    (_PEERS, 'peers = ["mail.corp"]', 7, "listener.relay.peers[0]", ["not an IP address"]),
    (_PEERS, "peers = [5]", 7, "listener.relay.peers[0]", ["not an IP address"]),
    (_PEERS, 'peers = "192.0.2.10"', 7, "listener.relay.peers", ["not a list"]),
    ("[listener.mx]", "[listener.mx_in]", 8, "listener.mx_in.role", ["submission, relay, mx"]),
    (_MX, _RELAY, 9, "listener.mx.address", ["10025", "listener.relay"]),
    (_MX, 'address = "0.0.0.0:10025"', 9, "listener.mx.address", ["10025", "listener.relay"]),
    (
        _MX,
        _MX + '\nxforward_form = ["192.0.2.11"]',
        10,
        "listener.mx.xforward_form",
        ["xforward_from?"],
    ),
    (
        _RELAY,
        _RELAY + '\nnext_hop = "\\u001b[2J"',
        7,
        "listener.relay.next_hop",
        ["[next_hop.�[2J]"],
    ),
    ("[next_hop.out]", "[next_hop.ouut]", 5, "listener.relay.next_hop", ["[next_hop.out]"]),
    (_OUT, 'address = "127.0.0.1:0"', 11, "next_hop.out.address", ["port 0"]),
    (
        'protocol = "lmtp"',
        'protocol = "lmpt"',
        12,
        "next_hop.out.protocol",
        ["lmtp?", "smtp, lmtp"],
    ),
    (
        _TLS,
        'tls = { mode = "must" }',
        15,
        "next_hop.in.tls.mode",
        ["none, opportunistic, required"],
    ),
    (_TLS, 'tls = { modus = "verify" }', 15, "next_hop.in.tls.modus", ["Did you mean mode?"]),
    (_TLS, 'tls = { ca = "x.pem" }', 15, "next_hop.in.tls.ca", ['mode = "verify"']),
    ('name = "staff"', "", 16, "directory[0].name", ["missing", '"staff"']),
    ('name = "staff"', 'name = ["staff"]', 17, "directory[0].name", ['a text in "quotes"']),
    (
        'kind = "ldap"',
        'kind = "ldpa"',
        18,
        "directory[0].kind",
        ["ldap?", "smimea, embedded"],
    ),
    ('kind = "ldap"', "", 16, "directory[0].kind", ["missing", "smimea, embedded"]),
    ("[[directory]]", "[directory]", 16, "directory", ["not a list"]),
    (_URL, "", 16, "directory[0].url", ["missing", "ldaps://"]),
    (_URL, 'url = ""', 19, "directory[0].url", ["empty", "ldaps://"]),
    (_URL, 'url = "http://x"', 19, "directory[0].url", ["not an LDAP URL", "ldaps://host"]),
    (_URL, 'url = "ldap://ldap.corp.example"', 19, "directory[0].url", ["clear", "start_tls"]),
    (_BASE, _BASE + '\nfilter = "(mail=a)"', 21, "directory[0].filter", ["%{address}"]),
    (_BASE, _BASE + '\nfilter = "(mail=%{address}"', 21, "directory[0].filter", ["brackets"]),
    (_BASE, _BASE + "\nattributes = []", 21, "directory[0].attributes", ["userCertificate"]),
    (_BASE, _BASE + "\nbind = { dn = 'cn=x' }", 21, "directory[0].bind.password", ["missing"]),
    (_BASE, _BASE + '\nca = "missing.pem"', 21, "directory[0].ca", ["there is no file"]),
    (_DEADLINE, 'deadline = "2"', 21, "directory[0].deadline", ['"2" has no unit', '"500ms"']),
    (_DEADLINE, "deadline = 2", 21, "directory[0].deadline", ["2 has no unit", '"2s"']),
    (_DEADLINE, 'deadline = "2 weeks"', 21, "directory[0].deadline", ["not a duration"]),
    (_DEADLINE, 'deadline = "0s"', 21, "directory[0].deadline", ["longer than nothing"]),
    (_DEADLINE, 'cache = { fond = "1h" }', 21, "directory[0].cache.fond", ["Did you mean found?"]),
    ('path = "policies"', 'path = "polices"', 23, "policies.path", ["there is no directory"]),
    (_FORMAT, 'format = "xml"', 25, "log.format", ['"xml"', "postfix, json"]),
    (_FORMAT, "format = 1", 25, "log.format", ["postfix, json"]),
    (_FORMAT, _FORMAT + '\naddresses = "none"', 26, "log.addresses", ["full, domain, hash"]),
    (_FORMAT, _FORMAT + '\nlevel = "debug"', 26, "log.level", ["info, warning, error"]),
    (_FORMAT, _FORMAT + "\n[limits]\nsessions = 0", 27, "limits.sessions", ["above 0"]),
    (_FORMAT, _FORMAT + "\n[limits]\nsession = 9", 27, "limits.session", ["mean sessions?"]),
    (_FORMAT, _FORMAT + '\n[limits]\nlayers = "8"', 27, "limits.layers", ["a whole number"]),
    (_FORMAT, _FORMAT + '\n[revocation]\nmode = "off"', 27, "revocation.mode", ["require, prefer"]),
    (
        _FORMAT,
        _FORMAT + '\n[revocation]\ncrl_grace = "x"',
        27,
        "revocation.crl_grace",
        ["not a duration", "1h"],
    ),
    (
        _FORMAT,
        _FORMAT + '\n[trust]\nanchors = ["no"]',
        27,
        "trust.anchors[0]",
        ["there is no file"],
    ),
    (_FORMAT, _FORMAT + '\n[keystore]\nkind = "hsm"', 27, "keystore.kind", ["Allowed: files"]),
    (
        _FORMAT,
        _FORMAT + '\n[keystore]\nkey_encryption_key = { file = "kek" }',
        27,
        "keystore.key_encryption_key",
        ["cannot be read", "kek"],
    ),
    (
        _FORMAT,
        _FORMAT + '\n[metrics]\naddress = "127.0.0.1:10025"',
        27,
        "metrics.address",
        ["listener.relay"],
    ),
    (_FORMAT, _FORMAT + "\n[mertics]\naddress = 1", 26, "mertics", ["Did you mean metrics?"]),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    _MISTAKES,
    ids=[f"{number}-{row[3]}" for number, row in enumerate(_MISTAKES)],
)
def test_message_names_file_line_key_and_what_is_allowed(
    write: Callable[..., Path], old: str, new: str, line: int | None, key: str, words: list[str]
) -> None:
    """One mistake, one complaint that an administrator can act on."""
    good = write().read_text()
    assert old in good
    path = write(good.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    problems = [problem for problem in caught.value.problems if problem.key == key]
    assert len(problems) == 1, caught.value
    assert problems[0].file == str(path)
    assert problems[0].line == line
    for word in words:
        assert word in problems[0].message
    assert len(caught.value.problems) <= 3, "one mistake must not raise a flood"


def test_every_mistake_is_reported_at_once(write: Callable[..., Path]) -> None:
    """Nobody wants to start the gateway five times to find five mistakes."""
    text = write().read_text()
    for old, new in (
        ('"lmtp"', '"lmpt"'),
        ('"2s"', '"2"'),
        ('"postfix"', '"xml"'),
        ("[policies]", "[policy]"),
        ("10035", "10025"),
    ):
        text = text.replace(old, new)
    with pytest.raises(ConfigurationError) as caught:
        load(write(text))
    assert {problem.key for problem in caught.value.problems} >= {
        "next_hop.out.protocol",
        "directory[0].deadline",
        "log.format",
        "policy",
        "listener.mx.address",
    }


def test_missing_main_file_says_how_to_name_another(tmp_path: Path) -> None:
    """The commonest mistake of all."""
    with pytest.raises(ConfigurationError, match=r"No such file.*-c or SMIMEGW_CONFIG"):
        load(tmp_path / "smimegw.toml")


def test_directory_instead_of_file_is_a_problem(tmp_path: Path) -> None:
    """``-c /etc/smimegw``."""
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["", "/"])
def test_empty_file_name_is_a_problem(name: str) -> None:
    """A variable of a script that is not set makes -c "" (cases E14)."""
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(Path(name))


def test_secret_written_into_the_file_is_not_repeated(write: Callable[..., Path]) -> None:
    """The message goes to logs and screens."""
    text = (
        write()
        .read_text()
        .replace('base = "ou', 'bind = { dn = "cn=x", password = "hunter2" }\nbase = "ou')
    )
    with pytest.raises(ConfigurationError) as caught:
        load(write(text))
    assert "directory[0].bind.password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ldaps://[::1", "ldaps://x:abc", "ldaps://x:99999", "ldaps://x:0", "ldaps://x/dc=y", "//x"],
)
def test_url_that_names_no_ldap_server_is_a_mistake(write: Callable[..., Path], url: str) -> None:
    """What the start would refuse is no correct configuration (cases E14)."""
    text = write().read_text().replace("ldaps://ldap.corp.example", url)
    with pytest.raises(ConfigurationError, match=r"directory\[0\]\.url .* is not an LDAP URL"):
        load(write(text))


def test_file_that_cannot_be_reached_is_a_mistake_like_others(write: Callable[..., Path]) -> None:
    """One such file hid every other mistake, and which key named it (cases E14)."""
    text = write().read_text().replace('tls = { mode = "verify" }', 'tls = { mode = "must" }')
    text += f'[trust]\nanchors = ["{"x" * 300}"]\n[records]\nsecond_directory = "{"y" * 300}"\n'
    text = text.replace('path = "policies"', f'path = "{"z" * 300}"')
    with pytest.raises(ConfigurationError) as caught:
        load(write(text))
    said = {problem.key: problem.message for problem in caught.value.problems}
    assert set(said) == {
        "next_hop.in.tls.mode", "trust.anchors[0]", "records.second_directory", "policies.path"
    }  # fmt: skip
    assert "cannot be reached: File name too long" in said["trust.anchors[0]"]


def test_login_in_a_url_is_not_repeated(write: Callable[..., Path]) -> None:
    """A password in a URL would go to logs and screens (cases E14)."""
    text = write().read_text().replace("ldaps://ldap", "ldaps://cn=x:hunter2@ldap")
    with pytest.raises(ConfigurationError, match=r"directory\[0\]\.url .* holds a login") as caught:
        load(write(text))
    assert "hunter2" not in str(caught.value)


def test_submission_for_everybody_without_logins_is_refused(write: Callable[..., Path]) -> None:
    """An open relay must not be one typing mistake away."""
    text = write().read_text().replace("[listener.mx]", '[listener.submission]\nauth = "none"')
    with pytest.raises(ConfigurationError, match=r"submission\.auth .* everybody could send"):
        load(write(text))


def test_passwords_in_clear_over_the_network_are_refused(write: Callable[..., Path]) -> None:
    """A submission listener with logins needs TLS unless it is on loopback."""
    text = write().read_text().replace("[listener.mx]", "[listener.submission]")
    text = text.replace("127.0.0.1:10035", "192.0.2.1:587")
    with pytest.raises(ConfigurationError, match=r"submission\.auth .* in clear"):
        load(write(text))


@pytest.mark.parametrize("mark", ["signed", "", "[]", "[signed", "[" + "x" * 40 + "]"])
def test_mark_that_is_no_word_in_brackets_is_refused(write: Callable[..., Path], mark: str) -> None:
    """It would be cut out of the middle of words, or out of everything (cases K09)."""
    text = write().read_text().replace("[gateway]", f'[gateway]\nsubject_marks = ["{mark}"]')
    with pytest.raises(ConfigurationError, match=r"subject_marks.* is not a short word in bracket"):
        load(write(text))
    good = text.replace(f'["{mark}"]', '["[signed]", "(ok)"]')
    assert load(write(good)).gateway.subject_marks == ("[signed]", "(ok)")


@pytest.mark.parametrize("policy", ["gold", "1", "1.02", "3.1.2", "1..2", "1.2 ", ""])
def test_policy_that_is_no_object_identifier_is_refused(
    write: Callable[..., Path], policy: str
) -> None:
    """No certificate could have it, and all mail would stand still (RFC 5280, 4.2.1.4)."""
    text = write().read_text() + f'[trust]\npolicies = ["{policy}"]\n'
    with pytest.raises(ConfigurationError, match=r"trust\.policies.* is not an object identifier"):
        load(write(text))
    good = text.replace(f'["{policy}"]', '["2.5.29.32.0"]')
    assert load(write(good)).trust.policies == ("2.5.29.32.0",)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('second_directory = "/var/lib/smimegw"', "records.second_directory"),
        ('second_directory = "/nowhere"', "records.second_directory"),
        ('required = "both"', "records.required"),
    ],
    ids=["the first", "not there", "no second"],
)
def test_second_place_that_is_none_is_refused(
    write: Callable[..., Path], lines: str, key: str
) -> None:
    """Whoever wants two places must not have one only (E23)."""
    text = write().read_text() + f"[records]\n{lines}\n"
    with pytest.raises(ConfigurationError) as caught:
        load(write(text))
    assert key in [problem.key for problem in caught.value.problems]
