#!/bin/sh
# Runs Dovecot for the mailboxes in "$@"; all have the same password, this is an example.
set -eu
umask 027
for mailbox in "$@"; do
    # user : password : uid : gid : : home, as in passwd(5)
    printf '%s:{PLAIN}%s:10002:10002::/var/mail/%s::\n' "$mailbox" "$(cat /run/secrets/mail-password)" "$mailbox"
done >/run/mailboxes
chgrp dovecot /run/mailboxes
exec dovecot -F
