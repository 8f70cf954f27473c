#!/bin/sh
# Brings CA, directory and gateway to where every mailbox in "$@" has a certificate; repeatable.
#
# Certificates are published in LDAP.  Keys of our own people go into the gateway's keystore; the
# .p12 of everybody is kept in the CA's volume, for those who have their keys elsewhere.
set -eu
umask 077
secrets=/run/secrets
ca=/var/lib/smimegw-ca
state=/var/lib/smimegw
export SMIMEGW_CONFIG=/etc/smimegw/smimegw.toml
our_domain=corp.example

authority() { smimegw-ca "$@" --directory "$ca/authority" --no-input; }
unlocked() { authority "$@" --passphrase-file "$secrets/ca-passphrase"; }

if [ ! -e "$ca/authority/ca.toml" ]; then   # written last
    domains=$(printf '%s\n' "$@" | sed 's/.*@/--domain /' | sort -u)
    # shellcheck disable=SC2086  # options and their values
    unlocked init --name "Corp Mail CA" --organization Corp $domains   # a thief of this CA gets no further
fi
mkdir -p "$state/trust"
cp "$ca/authority/root/certificate.pem" "$state/trust/corp-mail-ca.pem"

for mailbox in "$@"; do
    folder=$ca/issued/$mailbox
    [ -e "$folder" ] && continue
    rm -rf "$folder.new"
    unlocked issue "$mailbox" --output "$folder.new" --p12-passphrase-file "$secrets/p12-password"
    case $mailbox in *@"$our_domain")
        smimegw key import "$folder.new"/*.p12 --password-file "$secrets/p12-password" ;;
    esac
    mv "$folder.new" "$folder"
done

# A fresh revocation list each time: without one nobody's certificate can be judged.
unlocked crl make
authority publish --ldap ldaps://slapd:1636 --ca "$secrets/tls-ca.pem" \
    --bind-dn cn=smimegw-ca,ou=services,dc=corp,dc=example --password-file "$secrets/ldap-ca-password" \
    --people-base ou=people,dc=corp,dc=example --authorities-base ou=authorities,dc=corp,dc=example
