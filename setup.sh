#!/usr/bin/env bash
# Make .venv and install the library with the extras asked for. Safe to repeat; seconds when nothing changed.
#
#   bash setup.sh tf viz [test]     (extras: tf torch viz icp io export docs test bench)
#
# PYTHON names another interpreter than python3. Versions tested together are in constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fail() { echo "setup: error: $*" >&2; exit 1; }

[ $# -gt 0 ] || fail "name the extras to install, of: tf torch viz icp io export docs test bench"
for extra in "$@"; do
    case $extra in tf | torch | viz | icp | io | export | docs | test | bench) ;; *) fail "unknown extra '$extra', known: tf torch viz icp io export docs test bench" ;; esac
done

exec 9>.setup.lock # two runners started at once install one after the other
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "setup: waiting for another set-up of this checkout" >&2
    flock 9
fi

if [ ! -e .venv/.made ]; then
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "$python not found; on Debian or Ubuntu: sudo apt-get install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
        fail "Python 3.11 to 3.13 is needed, $python is $("$python" -V 2>&1); name another with PYTHON=python3.11 bash setup.sh …"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments; on Debian or Ubuntu: sudo apt-get install python3-venv"
    echo "setup: making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
    touch .venv/.made # written last: a killed set-up starts over
fi

stamp=.venv/.installed
if [ -e "$stamp" ]; then # `pip install ./common` would leave a copy here, blind to later changes of the checkout
    installed=$(.venv/bin/python -c 'import samplenet; print(samplenet.__path__[0])' 2>/dev/null || true)
    [ "$installed" -ef common/samplenet ] || rm "$stamp"
fi
state() { cat common/pyproject.toml constraints.txt | cksum; }
missing=()
for extra in build "$@"; do
    grep -qsxF "$extra $(state)" "$stamp" || missing+=("$extra")
done
if [ ${#missing[@]} -gt 0 ]; then
    extras=$(IFS=,; echo "${missing[*]}")
    echo "setup: installing samplenet[$extras] (the first time takes minutes)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "common[$extras]" ||
        fail "pip could not install samplenet[$extras]; its message stands above"
    for extra in "${missing[@]}"; do echo "$extra $(state)" >>"$stamp"; done
fi

# a wheel that needs a library of the system says so on import
for extra in "$@"; do
    case $extra in tf) module=tensorflow ;; torch) module=torch ;; viz) module=matplotlib ;; icp) module=open3d ;; *) continue ;; esac
    [ -e ".venv/.imports-$module" ] && continue
    if ! message=$(.venv/bin/python -c "import $module" 2>&1); then
        case $message in
            *libusb* | *libX11*) package="libusb-1.0-0 libgl1 libgomp1 libx11-6" ;; # Open3D
            *libgomp.so*) package=libgomp1 ;; *libstdc++.so*) package=libstdc++6 ;; *libGL.so*) package=libgl1 ;;
            *) fail "import $module failed: $message" ;;
        esac
        fail "$module needs a system library; on Debian or Ubuntu: sudo apt-get install $package"
    fi
    touch ".venv/.imports-$module"
done

# native ops; without a compiler the framework's own operations serve
for extra in "$@"; do
    case $extra in tf | torch) ;; *) continue ;; esac
    TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python -m samplenet.ops.build "--$extra" --quiet ||
        echo "setup: going on without native ops for $extra: slower, same results" >&2
done
