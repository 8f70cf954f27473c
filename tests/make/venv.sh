#!/bin/sh
# Makes the virtual environment.  Debian keeps the module for that in a package of its own.
#   venv.sh PYTHON DIRECTORY
set -eu
python=$1 directory=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "smimegw needs Python 3.11 or newer; $python is $("$python" --version). Try: make PYTHON=python3.13 ..." >&2
    exit 2
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv ca-certificates >/dev/null
    else
        echo "Python's venv module is missing. Install it once, then come back:" >&2
        echo "    sudo apt-get install -y python3-venv" >&2
        exit 2
    fi
fi
rm -rf "$directory"
"$python" -m venv "$directory"
