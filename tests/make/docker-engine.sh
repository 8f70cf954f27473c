#!/bin/sh
# Runs a private Docker Engine as root: no registry, no systemd, no change of firewall or forwarding.
#
#   docker-engine.sh start  DIRECTORY          engine on DIRECTORY/docker.sock
#   docker-engine.sh images DIRECTORY CACHE    debian:bookworm-slim and python:3.11-slim, made here
#   docker-engine.sh stop   DIRECTORY          engine, containers, networks and mounts are gone
#
# The images are stand-ins made with debootstrap, kept as tar files in CACHE.  Containers see each
# other by name, publish ports on this machine and have no way out; builds need --network=host.
set -eu
command=${1:-} directory=${2:-}
[ -d "$directory" ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
directory=$(cd "$directory" && pwd -P)
DOCKER_HOST=unix://$directory/docker.sock
export DOCKER_HOST

say() { echo "docker-engine: $*" >&2; }

# When process $1 began, in clock ticks: with it a number that was given away again is noticed.
# Zombies do not count; whoever should have waited for them is not us.
began() { sed -n 's/^[0-9]* (.*) [^Z] //p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f19; }

running() {
    [ -s "$directory/engine" ] && read -r pid ticks <"$directory/engine" && [ "$(began "$pid")" = "$ticks" ]
}

# Waits until "$@" succeeds, $1 tenths of a second at most.
wait_for() {
    tenths=$1; shift
    until "$@" >/dev/null 2>&1; do
        [ "$tenths" -gt 0 ] || return 1
        tenths=$((tenths - 1)); sleep 0.1
    done
}

start() {
    if running; then say "runs already in $directory"; exit 1; fi
    # No docker0: whatever the system's own Docker does stays as it is.
    setsid dockerd --host "$DOCKER_HOST" --data-root "$directory/data" --exec-root "$directory/exec" \
        --pidfile "$directory/docker.pid" --bridge=none --iptables=false --ip6tables=false \
        --ip-forward=false --ip-masq=false >"$directory/dockerd.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(began "$pid")" >"$directory/engine"
    # An engine that ends early is not waited for.
    wait_for 300 sh -c "docker version || ! kill -0 $pid" || :
    docker version >/dev/null 2>&1 || { tail -n 20 "$directory/dockerd.log" >&2; say "did not start"; exit 1; }
}

stop() {
    if running; then
        containers=$(timeout 20 docker ps -aq) || containers=
        # shellcheck disable=SC2086  # a list of ids
        [ -z "$containers" ] || timeout 60 docker rm -f $containers >/dev/null 2>&1 || :
        timeout 20 docker network prune -f >/dev/null 2>&1 || :
        kill "$pid" 2>/dev/null || :
        ended() { ! running; }
        wait_for 300 ended || { say "has to be killed"; kill -9 "$pid" 2>/dev/null || :; }
    fi
    # What an engine that was killed leaves behind; the deepest first.
    cut -d' ' -f2 /proc/self/mounts | grep "^$directory/" | sort -r | while read -r mount; do
        umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || :
    done
    rm -f "$directory/engine"
}

make_debian() {
    root=$directory/debian
    say "making debian:bookworm-slim with debootstrap"
    # shellcheck disable=SC2086  # no mirror given means debootstrap's own
    debootstrap --variant=minbase bookworm "$root" ${DEBIAN_MIRROR:-} >"$directory/debootstrap.log" 2>&1 ||
        { tail -n 20 "$directory/debootstrap.log" >&2; exit 1; }
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
        "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # What this machine trusts: on the way to the package index somebody may re-sign TLS.
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/host-trust.crt"
    tar -C "$root" --one-file-system -cf "$1.new" . && mv "$1.new" "$1"
    rm -rf "$root"
}

make_python() {
    say "making python:3.11-slim from it"
    docker build --network=host -q -t python:3.11-slim - <<'DOCKERFILE' >/dev/null
FROM debian:bookworm-slim
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates netbase tzdata \
 && rm -rf /var/lib/apt/lists/* && ln -s /usr/bin/python3 /usr/local/bin/python
ENV LANG=C.UTF-8 PIP_CERT=/etc/host-trust.crt
CMD ["python3"]
DOCKERFILE
    docker save -o "$1.new" python:3.11-slim && mv "$1.new" "$1"
}

images() {
    cache=$1
    mkdir -p "$cache"
    [ -s "$cache/debian.tar" ] || make_debian "$cache/debian.tar"
    docker import -c 'CMD ["bash"]' "$cache/debian.tar" debian:bookworm-slim >/dev/null
    if [ -s "$cache/python.tar" ]; then docker load -q -i "$cache/python.tar" >/dev/null
    else make_python "$cache/python.tar"; fi
}

case $command in
start) start ;;
images) images "${3:?a directory for the tar files}" ;;
stop) stop ;;
*) say "start, images or stop?"; exit 2 ;;
esac
