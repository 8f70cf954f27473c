#!/bin/sh
# Makes every secret of compose.yaml, once: passwords, the key-encryption key, TLS keys.
#
#   sh docker/secrets.sh [DIRECTORY]       default: docker/secrets, where compose.yaml looks
#
# Keep a copy of key-encryption-key and ca-passphrase in a safe place: without them no private key
# can be opened again.
set -eu
directory=${1:-$(dirname "$0")/secrets}
[ ! -e "$directory" ] || { echo "$directory is there already; nothing was changed" >&2; exit 1; }
command -v openssl >/dev/null || { echo "openssl is missing: apt-get install openssl" >&2; exit 1; }
umask 077
new=$directory.new
rm -rf "$new"
mkdir -p "$new"

for name in ca-passphrase p12-password ldap-gateway-password ldap-ca-password mail-password; do
    openssl rand -hex 20 >"$new/$name"
done
openssl rand -base64 32 >"$new/key-encryption-key"

# An authority for the TLS of these containers alone; its own key is not kept.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj "/CN=smimegw containers" \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$new/ca.key" -out "$new/tls-ca.pem" 2>/dev/null
for host in gateway postfix dovecot slapd; do
    printf 'subjectAltName=DNS:%s,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' "$host" >"$new/extensions"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$host" \
        -keyout "$new/tls-$host.key" -out "$new/request" 2>/dev/null
    openssl x509 -req -in "$new/request" -CA "$new/tls-ca.pem" -CAkey "$new/ca.key" -days 3650 \
        -extfile "$new/extensions" -out "$new/tls-$host.pem" 2>/dev/null
done
rm "$new/ca.key" "$new/extensions" "$new/request"

# Each container runs as a user of its own and reads only the files it is given; on this side the
# directory keeps everybody else out.
chmod 444 "$new"/*
mv "$new" "$directory"
echo "made $directory"
