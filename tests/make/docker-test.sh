#!/bin/sh
# Brings docker/compose.yaml up in a private Docker Engine and passes mail through it, both ways.
#
#   sh tests/make/docker-test.sh            as root, on Debian 12
#
# SMIMEGW_DOCKER_CACHE  directory in which the base images are kept from run to run
# DEBIAN_MIRROR         for debootstrap, when its own choice cannot be reached
#
# Everything it starts and makes is gone afterwards, also when it fails or is interrupted.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
project=$(cd "$here/../.." && pwd -P)
[ "$(id -u)" = 0 ] || { echo "A private Docker Engine needs root. Run: sudo make docker-test" >&2; exit 2; }

install_programs() {
    missing=""
    for package in docker.io docker-compose debootstrap iproute2 openssl ca-certificates python3; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    # No Engine of the system's own may start: it would rewrite the firewall.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

compose() { docker-compose -f "$project/docker/compose.yaml" -f "$here/host-network.yaml" "$@"; }

end() {
    result=$?
    trap - EXIT INT TERM HUP
    set +e
    echo "taking everything down"
    [ -z "${DOCKER_HOST:-}" ] || timeout 120 docker-compose -f "$project/docker/compose.yaml" down -v -t 5 >"$work/down.log" 2>&1
    sh "$here/docker-engine.sh" stop "$work"
    rm -rf "$work"
    if [ "$result" = 0 ]; then echo "docker-test: passed"; else echo "docker-test: FAILED" >&2; fi
    exit "$result"
}

fail() { echo "FAILED: $*" >&2; exit 1; }

# The state of a container: running, healthy, unhealthy, or exited with a code.
state_of() {
    docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' \
        "$(compose ps -q "$1")"
}

wait_until_healthy() {
    tries=120
    until [ "$(state_of gateway)" = healthy ]; do
        [ "$tries" -gt 0 ] || { compose logs --tail 40; fail "the gateway is $(state_of gateway)"; }
        tries=$((tries - 1)); sleep 1
    done
}

free_ports() {
    python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(entry.getsockname()[1] for entry in sockets))
PYTHON
}

# What compose.yaml promises about the gateway's container.
check_container() {
    in_gateway() { compose exec -T gateway "$@"; }
    [ "$(in_gateway id -u)" != 0 ] || fail "the gateway runs as root"
    in_gateway grep -q '^[^ ]* / [^ ]* ro[, ]' /proc/mounts || fail "the gateway's root is not read-only"
    in_gateway grep -q '^CapEff:[[:space:]]*0*$' /proc/1/status || fail "the gateway has capabilities"
    in_gateway grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/1/status || fail "the gateway could gain privileges"
    ! in_gateway test -e /var/lib/smimegw-ca/authority || fail "the gateway sees the CA's keys"
    echo "  gateway: not root, root file system read-only, no capabilities, CA out of reach"
}

# What the CA does a second time: nothing new, except the revocation list.
check_repeat() {
    compose run --rm -T ca alice@corp.example bob@partner.example >"$work/again.log" 2>&1 ||
        { cat "$work/again.log"; fail "the one-shot does not run twice"; }
    grep -q '^0 published, 0 withdrawn' "$work/again.log" ||
        { cat "$work/again.log"; fail "the second run published something again"; }
    echo "  ca: a second run renews the revocation list and changes nothing else"
}

check_stop() {
    container=$(compose ps -q gateway)
    compose stop gateway >/dev/null 2>&1
    code=$(docker inspect -f '{{.State.ExitCode}}' "$container")
    [ "$code" = 0 ] || { compose logs --tail 20 gateway; fail "the gateway ended with $code on SIGTERM"; }
    echo "  gateway: drains and ends with 0 on SIGTERM"
}

(install_programs)    # a subshell, so that its trap is its own
work=$(mktemp -d "${TMPDIR:-/tmp}/smimegw-docker.XXXXXX")
trap end EXIT
trap 'exit 130' INT TERM HUP

echo "engine and base images (the first time takes minutes)"
sh "$here/docker-engine.sh" start "$work"
export DOCKER_HOST="unix://$work/docker.sock"
sh "$here/docker-engine.sh" images "$work" "${SMIMEGW_DOCKER_CACHE:-$work/cache}" 2>"$work/images.log" ||
    { cat "$work/images.log"; fail "no base images"; }

export COMPOSE_PROJECT_NAME=smimegwtest SMIMEGW_SECRETS="$work/secrets"
sh "$project/docker/secrets.sh" "$SMIMEGW_SECRETS" >/dev/null
echo "building"
compose build >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; fail "an image does not build"; }
echo "starting"
read -r SMIMEGW_SUBMISSION_PORT SMIMEGW_MX_PORT SMIMEGW_IMAP_PORT <<PORTS
$(free_ports)
PORTS
export SMIMEGW_SUBMISSION_PORT SMIMEGW_MX_PORT SMIMEGW_IMAP_PORT
compose up -d >"$work/up.log" 2>&1 || { tail -n 20 "$work/up.log"; compose logs --tail 40; fail "compose up"; }
wait_until_healthy

ca=$(compose ps -q ca)
docker cp "$ca:/var/lib/smimegw-ca/issued/bob@partner.example" "$work/bob"
docker cp "$ca:/var/lib/smimegw-ca/authority/root/certificate.pem" "$work/root.pem"
echo "mail"
python3 "$here/docker_mail.py" "$SMIMEGW_SECRETS" "$(echo "$work"/bob/*.p12)" "$work/root.pem" ||
    { compose logs --tail 60; fail "mail did not pass as it has to"; }
echo "containers"
check_container
check_repeat
check_stop
