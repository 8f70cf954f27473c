#!/bin/sh
# Installs the real programs that the tests talk to.  Root: apt does it; others get the line to run.
set -eu
packages="slapd ldap-utils unbound ldnsutils postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd
          openssl gnupg gpgsm gpg-agent dirmngr libnss3-tools swaks softhsm2 postgresql haproxy procps systemd
          groff-base
          default-jdk-headless libbcpkix-java libbcprov-java libbcutil-java"

missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
    echo "The tests need programs that are not installed. Run this once, then come back:" >&2
    echo "    sudo $line" >&2
    exit 2
fi
# Maintainer scripts must not start servers on the standard ports: the tests bring their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
echo "installing:$missing"
DEBIAN_FRONTEND=noninteractive $line -qq >/dev/null
