#!/bin/sh
# A client generated from the proto against a running server: run.sh PATH_TO_TRIBUTARY [--packages DIR]. Needs Python 3.11.
set -eu
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$(dirname "$0")/run.py" "$@"
