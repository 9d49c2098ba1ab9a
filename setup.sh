#!/usr/bin/env bash
# Create .venv and install the library with the given extras. Safe to repeat and to interrupt; takes
# seconds if nothing has changed.
#
#   bash setup.sh tf viz [test]       extras: tf torch viz hub icp io render probe export docs
#                                     test bench
#   bash setup.sh cluster             Snakemake, in .venv-cluster: its versions do not fit the others'
#   bash setup.sh --python [tf viz]   only print the Python that has these extras, or that would
#                                     create their environment
#
# PYTHON names another interpreter than python3. Versions tested together are in constraints.txt.
#
# If nvidia-smi shows a GPU (CUDA_VISIBLE_DEVICES= hides it), tf without torch goes to .venv-tf, with
# TensorFlow's CUDA libraries. PyTorch needs another CUDA, and the cuDNN and NCCL files of both have
# the same names in the same folders.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh setup.sh
set -euo pipefail
cd "$(dirname "$0")"
stopped=''
trap 'stopped=yes' INT
check_stopped() {
    [ -z "$stopped" ] || { echo "setup: stopped; the same command continues it" >&2; exit 130; }
}
fail() { check_stopped; echo "setup: error: $*" >&2; exit 1; }
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit ;; esac

ask='' tf='' torch='' gpu='' env=.venv
known="tf torch viz hub icp io render probe export docs test bench cluster"
[ "${1:-}" != --python ] || { ask=yes; shift; }
[ $# -gt 0 ] || [ "$ask" ] || fail "name the extras to install, of: $known"
for extra in "$@"; do
    case $extra in
        tf) tf=yes ;; torch) torch=yes ;;
        viz | hub | icp | io | render | probe | export | docs | test | bench) ;;
        cluster) [ $# -eq 1 ] || fail "cluster has an environment of its own; give it alone" ;;
        *) fail "unknown extra '$extra', known: $known" ;;
    esac
done
extras=(build train "$@")
[ "$*" != cluster ] || { env=.venv-cluster extras=(cluster); }
if [ "$tf$torch" ] && [[ ${CUDA_VISIBLE_DEVICES-all} != "" && ${CUDA_VISIBLE_DEVICES-all} != -1 ]] && timeout 10 nvidia-smi >/dev/null 2>&1; then
    gpu=yes
    [ "$torch" ] || { env=.venv-tf; extras+=(tf-cuda); }
    for nvcc in "${CUDACXX:-nvcc}" "${CUDA_HOME:-}/bin/nvcc" "${CUDA_PATH:-}/bin/nvcc"; do
        command -v "$nvcc" >/dev/null && break
    done || extras+=(nvcc)
fi
[ $# -gt 0 ] || [ -e .venv/.installed ] || env=.venv-tf # --python alone: whichever there is

# $env/.installed lists the extras in $env. It is moved away while pip works, so an environment
# without it is incomplete.
choose_python() {
    python=$PWD/$env/bin/python
    [ ! -e "$env/.installed" ] || return 0
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || fail "$python not found; on Debian or Ubuntu: sudo apt-get install python3 python3-venv"
    version=$("$python" -V 2>/dev/null) || fail "$python does not run here; name another with PYTHON=python3.11 bash setup.sh …"
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
        fail "Python 3.11 to 3.13 is needed, $python is $version; name another with PYTHON=python3.11 bash setup.sh …"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot create virtual environments; on Debian or Ubuntu: sudo apt-get install python3-venv"
}
if [ "$ask" ]; then
    choose_python
    echo "$python"
    exit
fi

[ -w . ] || fail "$PWD cannot be written to, and $env belongs in it; use a copy of the checkout in a folder of yours"
exec 9>.setup.lock # two runners started at once install one after the other
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "setup: waiting for another set-up of this checkout" >&2
    flock 9
fi

choose_python
if [ ! -e "$env/.installed" ]; then
    [ ! -e "$env" ] || echo "setup: the set-up of $env did not finish; starting again"
    echo "setup: creating $env with $version"
    "$python" -m venv --clear "$env" || fail "$python could not create $env; see its message above"
    touch "$env/.installed"
    python=$PWD/$env/bin/python
fi

# after `pip install ./common` the environment would hold a copy, blind to changes in the checkout
installed=$("$python" -I -c 'import samplenet; print(samplenet.__path__[0])' 2>/dev/null || true)
[ "$installed" -ef common/samplenet ] || : >"$env/.installed"
state() { cat common/pyproject.toml constraints.txt | cksum; }
missing=()
for extra in "${extras[@]}"; do
    grep -qsxF "$extra $(state)" "$env/.installed" || missing+=("$extra")
done
if [ ${#missing[@]} -gt 0 ]; then
    names=$(IFS=,; echo "${missing[*]}")
    size=''
    [ -z "$tf$torch" ] || size=' (gigabytes and minutes the first time)'
    echo "setup: installing samplenet[$names] in $env$size"
    pip_install() { PIP_USER=0 "$python" -m pip install --disable-pip-version-check -c constraints.txt -e "common[$names]"; }
    # without a terminal, which shows pip's bars: only pip's lines about large downloads
    big() { sed -u -n -e '/ [MG]B)/p' -e 's/^\(Installing collected packages\):.*/\1 (minutes)/p'; }
    mv "$env/.installed" "$env/.installing"
    touch "$env/.installing"
    if [ -t 1 ]; then pip_install; else pip_install | big; fi || {
        for site in "$env"/lib/python*/site-packages; do
            [ "$site" -nt "$env/.installing" ] || mv "$env/.installing" "$env/.installed" # pip failed before it changed anything
        done
        fail "pip could not install samplenet[$names]; see its message above"
    }
    mv "$env/.installing" "$env/.installed"

    # import each, as a wheel that lacks a system library fails only then
    for extra in "${missing[@]}"; do
        case $extra in tf) module=tensorflow ;; torch) module=torch ;; viz) module=matplotlib ;; icp) module=open3d ;; *) continue ;; esac
        message=$("$python" -c "import $module" 2>&1) && continue
        case $message in
            *libusb* | *libX11*) package="libusb-1.0-0 libgl1 libgomp1 libx11-6" ;; # Open3D
            *libgomp.so*) package=libgomp1 ;; *libstdc++.so*) package=libstdc++6 ;; *libGL.so*) package=libgl1 ;;
            *) fail "import $module failed; to start again: rm -rf $env; its message: $message" ;;
        esac
        fail "$module needs a system library; on Debian or Ubuntu: sudo apt-get install $package"
    done
    for extra in "${missing[@]}"; do echo "$extra $(state)" >>"$env/.installed"; done
fi

# native ops; without a compiler the library falls back on the framework's operations
for framework in ${tf:+tf} ${torch:+torch}; do
    TF_CPP_MIN_LOG_LEVEL=3 "$python" -m samplenet.ops.build "--$framework" --quiet || {
        check_stopped
        echo "setup: continuing without native ops for $framework: slower, same results" >&2
    }
    [ -z "$gpu" ] || [ ${#missing[@]} -eq 0 ] || echo "setup: in $env $("$python" -m samplenet.device "$framework")"
done
