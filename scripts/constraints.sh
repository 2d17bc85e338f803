#!/bin/sh
# Write constraints.txt: the versions that a fresh environment resolves to, for every extra.
# Needs a network. PYTHON names the interpreter; the oldest supported one needs the most packages.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

"${PYTHON:-python3}" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check"
unset PIP_CONSTRAINT || true
"$work/venv/bin/python" - "$root/pyproject.toml" >"$work/wanted.txt" <<'PYTHON'
import sys, tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())
extras = project["project"]["optional-dependencies"].values()
groups = [project["build-system"]["requires"], project["project"]["dependencies"], *extras]
print("editables", *(line for group in groups for line in group), sep="\n")
PYTHON
$pip install -q -r "$work/wanted.txt"
{
    echo "# Versions that tickgate is tested with. Written by 'make constraints'; do not edit."
    $pip freeze --exclude pip --exclude setuptools
} >"$work/constraints.txt"
if grep -n ' @ \|://' "$work/constraints.txt"; then
    echo "constraints: a requirement without a version (see above)" >&2
    exit 1
fi
mv "$work/constraints.txt" "$root/constraints.txt"
echo "constraints: $(grep -c == "$root/constraints.txt") versions pinned"
