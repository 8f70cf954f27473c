#!/bin/sh
# Loads the sample tree into an empty database, with the two services' passwords, then runs slapd.
set -eu
umask 077
# slapd reserves memory for every descriptor it may open, and containers allow a million.
ulimit -n 4096

# The password files end in a line end, which slappasswd would take for a part of the password.
for name in ldap-gateway-password ldap-ca-password; do
    tr -d '\n' <"/run/secrets/$name" >"/tmp/$name"
done
password() { slappasswd -n -T "/tmp/$1" | sed 's/[\\&|]/\\&/g'; }

if [ ! -e /var/lib/ldap/data.mdb ]; then
    # People come with their certificates; the CA makes their entries.
    sed -e '/^dn: mail=/,$d' \
        -e "/^cn: smimegw\$/,/^userPassword/s|{CRYPT}\*|$(password ldap-gateway-password)|" \
        -e "/^cn: smimegw-ca\$/,/^userPassword/s|{CRYPT}\*|$(password ldap-ca-password)|" \
        /etc/smimegw-ldap/sample.ldif | slapadd -f /etc/ldap/slapd.conf
fi
rm -f /tmp/ldap-gateway-password /tmp/ldap-ca-password
exec slapd -f /etc/ldap/slapd.conf -d none -h "ldaps://0.0.0.0:1636/ ldapi://%2Ftmp%2Fldapi/"
