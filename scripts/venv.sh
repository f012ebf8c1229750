#!/bin/sh
# Makes the virtual environment in $1 with the first Python that is new enough (3.11 or later).
set -eu
venv="$1"

for python in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        if "$python" -m venv "$venv"; then
            exit 0
        fi
        rm -rf "$venv"
        echo "$python cannot make a virtual environment: install its venv package (Debian: apt-get install python3-venv)." >&2
        exit 1
    fi
done
echo "Unnoise needs Python 3.11 or later; none was found. Install it, or name one: make run PYTHON=/path/to/python3" >&2
exit 1
