#!/usr/bin/env bash
# Autobahn's fuzzing client, which tries a WebSocket server's manners in hundreds of cases, in a
# folder outside the repository. Run without arguments for help.
set -euo pipefail

PINS=$(dirname "${BASH_SOURCE[0]}")/autobahn-constraints.txt
CACHE=${AUTOBAHN_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tickgate}
DIR=$CACHE/autobahn-$(cksum <"$PINS" | cut -d ' ' -f 1)  # other versions, another folder
NO_PYTHON=3                                             # exit status: there is no Python 2.7

usage() {
    cat <<TEXT
usage: scripts/autobahn.sh COMMAND

  install         install the fuzzing client (50 MB, a few seconds), unless it is there
  run SPEC.json   run it by that specification, after "install"

The folder is $DIR
(set AUTOBAHN_DIR to change the one it is in). Needs a C compiler and a Python 2.7 with pip, which
is searched on the PATH and among pyenv's versions; set PYTHON27 to name another.
TEXT
}

fail() {
    echo "autobahn: $1" >&2
    exit "${2:-1}"
}

# A pyenv shim is on the PATH also where it leads nowhere: only one that runs counts.
find_python() {
    local python
    for python in ${PYTHON27:+"$PYTHON27"} python2.7 python2 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null &&
            { echo "$python"; return; }
    done
    fail "no Python 2.7 found, and the fuzzing client runs on nothing newer; set PYTHON27" $NO_PYTHON
}

# Made beside its place and moved there whole: who finds the folder finds it complete.
install_client() {
    [ -d "$DIR" ] && return
    local python new
    python=$(find_python)
    "$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip"
    mkdir -p "$CACHE"
    new=$(mktemp -d "$CACHE/autobahn-new.XXXXXX")
    trap "rm -rf '$new'" EXIT              # now, as the variable ends with the function
    "$python" -m pip install --quiet --no-compile --no-deps --no-warn-script-location \
        --disable-pip-version-check --target "$new" -r "$PINS" >"$new.log" 2>&1 ||
        { tail -n 5 "$new.log" >&2; fail "pip failed; its log is $new.log"; }
    rm -f "$new.log"
    : >"$new/zope/__init__.py"            # a plain folder knows no namespace packages
    [ -d "$DIR" ] || mv "$new" "$DIR"     # unless another install was faster
}

# The client takes this process' place, so that the caller's signals reach it.
run_client() {
    local python
    [ -d "$DIR" ] || fail "not installed in $DIR; run 'scripts/autobahn.sh install'"
    python=$(find_python)
    PYTHONNOUSERSITE=1 PYTHONPATH=$DIR exec "$python" -B -S -c \
        'from autobahntestsuite import wstest; wstest.run()' --mode fuzzingclient --spec "$1"
}

case "${1:-}" in
    install) install_client; echo "autobahn: installed in $DIR" ;;
    run) run_client "${2:?run needs a specification, a JSON file}" ;;
    *) usage; [ "${1:-}" = help ] || exit 2 ;;
esac
