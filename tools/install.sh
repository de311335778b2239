#!/bin/sh
# Set up the virtual environment. Called by `make install`, which says with what.
set -eu

: "${PYTHON:=python3}" "${TORCH:=torch}" "${QT:=pyqt6}" "${VENV:=.venv}" "${BIN:=$VENV/bin}"

PYTHON="$PYTHON" sh tools/system_packages.sh

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed; name one: make install PYTHON=python3.13" >&2
    exit 1
fi
[ -x "$BIN/python" ] || "$PYTHON" -m venv "$VENV"

pip() {
    "$BIN/python" -m pip --disable-pip-version-check "$@"
}

echo "Installing into $VENV; the first time this takes some minutes."
pip install --quiet --upgrade "pip>=25.1" # the first one with --group
# PyTorch first and then held fast: which build it is, is chosen here and nowhere else.
# shellcheck disable=SC2086  # TORCH may hold options
pip install --quiet $TORCH
"$BIN/python" -c "import importlib.metadata as m; print('torch==' + m.version('torch'))" \
    >"$VENV/constraints.txt"
pip install --quiet --constraint "$VENV/constraints.txt" --constraint tools/constraints.txt \
    --editable . "napari[$QT]" --group test --group lint --group parity
# The reference implementation, which only tests use. Its source distribution asks for torchvision
# and builds with the setuptools and torch that are installed.
"$BIN/python" -c 'import sys, importlib.metadata as m; sys.exit(m.version("sam2") != "1.1.0")' \
    2>/dev/null ||
    SAM2_BUILD_CUDA=0 pip install --quiet --no-deps --no-build-isolation sam2==1.1.0
# Compiled once here, and not by the first start that a user waits for.
"$BIN/python" -m compileall -q -j 0 "$VENV" src >/dev/null 2>&1 || true
