#!/bin/sh
# The packages of the system that Qt and Xvfb need: installed where that is allowed, else named.
# Debian and its family only; elsewhere desktops bring them along.
set -eu

command -v dpkg-query >/dev/null 2>&1 || exit 0

wanted="xvfb xauth libegl1 libgl1 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0
libxcb-icccm4 libxcb-keysyms1 libxcb-shape0"

installed() {
    dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null | grep -qx installed
}

missing=""
for package in $wanted; do
    installed "$package" || missing="$missing $package"
done
# Renamed in Debian 13 and Ubuntu 24.04; where the old name is wanted the new one does not exist.
installed libglib2.0-0 libglib2.0-0t64 || missing="$missing libglib2.0-0"
# Debian keeps venv apart from Python.
"${PYTHON:-python3}" -c "import ensurepip" 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif sudo -n true 2>/dev/null; then
    as_root="sudo env"
else
    echo "These packages of the system are missing; without them windows cannot open:"
    echo "    sudo apt-get install$missing"
    exit 0
fi
echo "Installing packages of the system:$missing"
if ! { $as_root apt-get update -qq &&
    # shellcheck disable=SC2086  # one argument for each package
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        $missing >/dev/null; }; then
    echo "That failed. Install them by hand: sudo apt-get install$missing"
fi
