#!/bin/sh
# Makes a virtual environment from scratch and installs into it, with the versions of constraints.txt.
#
#   scripts/make_venv.sh FOLDER PIP_ARGUMENT...
#   scripts/make_venv.sh .venv-demo .
#   scripts/make_venv.sh .venv-test -e '.[train,export,dev]'
#
# The OpenCV wheel with windows needs system libraries (libGL, libX11, libxcb) that a machine without a desktop lacks.
# Where it does not load for that reason, the headless wheel takes its place, which needs none of them.
# PYTHON names the interpreter, python3 by default.
set -eu

folder=$1
shift
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null; then
    echo "error: no $python here; on Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $("$python" -V) is too old, Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "error: $python cannot make virtual environments; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
fi

rm -rf "$folder"
"$python" -m venv "$folder"
echo "Installing into $folder: $* (downloads the first time)"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"

if ! problem=$("$folder/bin/python" -c 'import cv2' 2>&1); then
    case $problem in
    *"cannot open shared object file"*)
        echo "opencv-python does not load here ($(echo "$problem" | tail -n 1))"
        echo "Taking opencv-python-headless instead: all works but windows"
        "$folder/bin/python" -m pip uninstall --quiet --yes opencv-python
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
            opencv-python-headless
        "$folder/bin/python" -c 'import cv2'
        ;;
    *)
        echo "$problem" >&2
        exit 1
        ;;
    esac
fi
