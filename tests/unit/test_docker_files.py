"""The container files refer to what is there; whether they work is for ``make docker-test``."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

from smimegw.config.load import load
from smimegw.config.policies import PolicyFolder

PROJECT = Path(__file__).resolve().parents[2]
DOCKER = PROJECT / "docker"
COMPOSE = (DOCKER / "compose.yaml").read_text()
DOCKERFILES = sorted(DOCKER.rglob("Dockerfile"))
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), *(PROJECT / "tests" / "make").glob("docker-*.sh")])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What secrets.sh makes."""
    directory = tmp_path_factory.mktemp("containers") / "secrets"
    _run("sh", str(DOCKER / "secrets.sh"), str(directory))
    return directory


# --- references ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_dockerfile_copies_what_is_there_and_sent_to_the_engine(dockerfile: Path) -> None:
    """COPY finds its sources in the build context, which .dockerignore does not withhold."""
    sent = re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    instructions = dockerfile.read_text().replace("\\\n", " ")
    copies = re.findall(r"^COPY (?!--from)(.+)$", instructions, re.MULTILINE)
    assert copies
    for source in [word for line in copies for word in line.split()[:-1]]:
        assert (PROJECT / source).exists(), source
        assert source.partition("/")[0] in sent, f".dockerignore withholds {source}"


def test_secrets_are_not_sent_to_the_engine_nor_committed() -> None:
    """A layer of an image is readable by everybody who has the image."""
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert ignored.index("docker/secrets*") > ignored.index("!docker")  # the last match decides
    assert "/secrets/" in (DOCKER / ".gitignore").read_text().splitlines()


def test_compose_names_files_that_are_there() -> None:
    """Dockerfiles, configuration and scripts of every service."""
    built = re.findall(r"^      dockerfile: (\S+)$", COMPOSE, re.MULTILINE)
    mounted = re.findall(r"^      - \./([^:]+):", COMPOSE, re.MULTILINE)
    assert sorted(PROJECT / name for name in built) == DOCKERFILES
    assert mounted
    for name in mounted:
        assert (DOCKER / name).exists(), name


def test_every_volume_and_secret_that_a_service_wants_is_declared() -> None:
    """And none is declared that no service wants."""
    volumes = set(re.findall(r"^      - ([a-z][a-z-]*):/", COMPOSE, re.MULTILINE))
    secrets = {
        name.strip()
        for line in re.findall(r"^    secrets: \[(.*)\]$", COMPOSE, re.MULTILINE)
        for name in line.split(",")
    }
    assert volumes == set(_section("volumes"))
    assert secrets == set(_section("secrets"))


def test_compose_keeps_to_what_every_generation_reads() -> None:
    """Compose 1.29 refuses name, include and configs with content; 2.x warns about version."""
    top = re.findall(r"^([a-z][a-z-]*):", COMPOSE, re.MULTILINE)
    assert set(top) == {"x-logging", "services", "networks", "volumes", "secrets"}
    assert not re.search(r"^\s+(start_interval|required|content|develop):", COMPOSE, re.MULTILINE)


def test_ports_are_published_on_the_loopback_address_only() -> None:
    """An example must not offer anything to the network it is tried in."""
    published = re.findall(r'^      - "(.*):\d+" ', COMPOSE + " ", re.MULTILINE)
    published += re.findall(r'^      - "(.*):\d+"$', COMPOSE, re.MULTILINE)
    assert len(published) == 3
    assert all(entry.startswith("127.0.0.1:") for entry in published)


def test_the_gateways_container_has_no_way_to_more_rights() -> None:
    """Read-only root, no capabilities, no new privileges, for the CA too, which takes it over."""
    gateway = COMPOSE.partition("  gateway: &smimegw\n")[2].partition("\n  # Runs once")[0]
    for line in ("read_only: true", "cap_drop: [ALL]", '["no-new-privileges:true"]'):
        assert line in gateway
    assert "    <<: *smimegw\n" in COMPOSE


# --- images --------------------------------------------------------------------------------------


def test_the_gateways_image_ends_as_an_ordinary_user() -> None:
    """The last USER of the last stage counts."""
    final = (DOCKER / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.+)$", final, re.MULTILINE) == ["smimegw"]
    assert "STOPSIGNAL SIGTERM" in final
    assert "/ready" in final


def test_the_build_backend_comes_from_the_lock_with_all_it_needs() -> None:
    """pip refuses what has no hash, so the list must not lack a dependency of hatchling."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    listed = set(re.search(r"/\^\(([a-z|-]+)\)==/", dockerfile)[1].split("|"))
    locked = re.findall(
        r"^([a-z0-9-]+)==", (PROJECT / "requirements-dev.lock").read_text(), re.MULTILINE
    )
    assert listed == _with_requirements("hatchling")
    assert listed <= set(locked)


# --- scripts and configuration -------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_script_is_posix_shell(script: Path) -> None:
    """The images' sh is dash."""
    _run("sh", "-n", str(script))


def test_secrets_sh_makes_every_secret_of_compose(secrets: Path) -> None:
    """And nothing else stays behind, least of all the TLS authority's key."""
    assert {path.name for path in secrets.iterdir()} == set(_section("secrets"))
    assert secrets.stat().st_mode & 0o077 == 0


def test_secrets_sh_never_replaces_a_secret(secrets: Path) -> None:
    """A new key-encryption key would make every private key unreadable."""
    before = (secrets / "key-encryption-key").read_bytes()
    again = subprocess.run(
        ["sh", str(DOCKER / "secrets.sh"), str(secrets)], capture_output=True, check=False
    )
    assert again.returncode == 1
    assert (secrets / "key-encryption-key").read_bytes() == before


def test_the_gateways_configuration_loads(secrets: Path, tmp_path: Path) -> None:
    """Every file that it names is given to the container."""
    text = (DOCKER / "gateway" / "smimegw.toml").read_text()
    assert text.count("/run/secrets/") >= 6
    anchors = tmp_path / "trust"
    anchors.mkdir()
    (anchors / "ca.pem").write_bytes((secrets / "tls-ca.pem").read_bytes())
    text = text.replace("/run/secrets", str(secrets)).replace(
        "/var/lib/smimegw/trust", str(anchors)
    )
    (tmp_path / "smimegw.toml").write_text(
        text.replace(
            "[trust]", f'[policies]\npath = "{DOCKER / "gateway" / "policies"}"\n\n[trust]'
        )
    )
    configuration = load(tmp_path / "smimegw.toml")
    assert set(configuration.listener) == {"submission", "mx"}


def test_the_gateways_policy_loads_with_its_cases() -> None:
    """A policy whose cases fail does not load."""
    policy = PolicyFolder(DOCKER / "gateway" / "policies").load()
    assert len(policy.cases) == 2


def _section(name: str) -> list[str]:
    """The keys of a top-level mapping of compose.yaml."""
    body = COMPOSE.partition(f"\n{name}:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  ([a-z0-9.-]+):", body, re.MULTILINE)


def _with_requirements(name: str) -> set[str]:
    found = {name}
    for line in importlib.metadata.requires(name) or []:
        requirement, _, marker = line.partition(";")
        if "python_version" in marker or "extra" in marker:
            continue  # for interpreters older than ours
        found |= _with_requirements(re.match(r"[A-Za-z0-9-]+", requirement)[0].lower())
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
