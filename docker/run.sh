#!/usr/bin/env bash
# Run an experiment in a container: docker/run.sh classification --preset paper --data-root DIR
#
#   docker/run.sh EXPERIMENT [flags of reproduce.sh]    an experiment, or an extra that one declares
#   docker/run.sh gpu-check [tensorflow]                compare PyTorch's (or TensorFlow's) CUDA kernels
#                                                       with the CPU's, bit for bit, and time them
#
# Builds the image if it is missing or of another revision. As without a container, results go to
# results/ and generated data to data/. Environment variables: CONTAINER_ENGINE (docker, else podman),
# DEVICE (cuda if nvidia-smi works, else cpu), and for the build BASE, TOOLKIT, CUDAARCHS and WHEELS,
# which the Dockerfiles explain.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fail() { echo "run.sh: error: $*" >&2; exit 1; }

# the framework of each experiment and its extras, parsed by bash as this machine may lack Python
declare -A frameworks
known=()
for file in "$root"/*/experiment.py; do
    words=("${file%/experiment.py}") framework=
    while IFS= read -r line; do
        [[ ! $line =~ ^FRAMEWORK\ =\ \"(tf|torch)\" ]] || framework=${BASH_REMATCH[1]}
        while [[ $line =~ ^(EXTRAS\ =.*)\"([a-z_-]+)\": ]]; do # the last one first
            line=${BASH_REMATCH[1]} words+=("${BASH_REMATCH[2]}")
        done
    done <"$file"
    case $framework in tf) framework=tensorflow ;; torch) framework=pytorch ;; esac
    for word in "${words[@]##*/}"; do
        frameworks[$word]=$framework known+=("$word")
    done
done

experiment=${1:-}
case $experiment in
    gpu-check)
        case ${2:-} in
            tensorflow) framework=tensorflow command=(benchmarks/gpu_tf.py); shift ;;
            *) framework=pytorch command=(benchmarks/gpu.py) ;;
        esac ;;
    *)
        framework=${frameworks[${experiment:-none}]:-} command=(reproduce.py "$experiment")
        [ "$framework" ] || fail "unknown experiment '$experiment', known: ${known[*]} gpu-check" ;;
esac
shift
case $framework in tensorflow) cuda=12.9.1 ;; pytorch) cuda=13.0.2 ;; esac

engine=${CONTAINER_ENGINE:-$(command -v docker || command -v podman || echo docker)}
command -v "$engine" >/dev/null || fail "$engine not found; install docker or podman, or name one with CONTAINER_ENGINE"
"$engine" info >/dev/null 2>&1 || fail "${engine##*/} is installed, but '${engine##*/} info' fails; start it, or name another with CONTAINER_ENGINE"
if [ -z "${DEVICE:-}" ]; then
    if nvidia-smi >/dev/null 2>&1; then DEVICE=cuda; else DEVICE=cpu; fi
fi
case $DEVICE in cpu | cuda) ;; *) fail "DEVICE must be cpu or cuda, got '$DEVICE'" ;; esac
[ "$experiment$DEVICE" != gpu-checkcpu ] || fail "gpu-check needs a GPU, and nvidia-smi finds none"

options=(--rm --stop-timeout 120 --user "$(id -u):$(id -g)" --volume "$root/results:/opt/samplenet/results" --volume "$root/data:/opt/samplenet/data")
case ${engine##*/} in
    podman)
        options+=(--security-opt label=disable) # otherwise SELinux denies access to the folders
        [ "$(id -u)" -eq 0 ] || options+=(--userns keep-id)
        [ "$DEVICE" = cpu ] || options+=(--device nvidia.com/gpu=all) ;;
    *) [ "$DEVICE" = cpu ] || options+=(--gpus all) ;;
esac

flags=()
while [ $# -gt 0 ]; do
    case $1 in
        --*-root | --out) [ $# -gt 1 ] || fail "$1: expected a folder"; set -- "$1=$2" "${@:3}" ;;
        --*-root=*) # a data set; keep its folder's name, which the results folder repeats
            folder=$(cd "${1#*=}" 2>/dev/null && pwd) || fail "${1%%=*}: no folder ${1#*=}"
            place=${1%%-root=*} place=/${place#--}/${folder##*/} # /data/NAME, /shapenet/NAME
            options+=(--volume "$folder:$place:ro") flags+=("${1%%=*}" "$place"); shift ;;
        --out=*)
            case ${1#*=} in results/*) ;; *) fail "--out must be below results/, which outlives the container, got ${1#*=}" ;; esac
            flags+=("$1"); shift ;;
        *)
            case $1 in all | everything) other=both ;; *) other=${frameworks[${1:-none}]:-$framework} ;; esac
            [ "$other" = "$framework" ] ||
                fail "'$1' is not in the image of $experiment; run each experiment by itself"
            flags+=("$1"); shift ;;
    esac
done

image=samplenet-$framework:$DEVICE
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$root" status --porcelain -uno 2>/dev/null)" ] || revision+=+changes
made=$("$engine" image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$image" 2>/dev/null || true)
asked=${BASE:-}${TOOLKIT:-}${CUDAARCHS:-}${WHEELS:-}
# if in doubt, build: the engine caches unchanged layers
if [ "$made" != "$revision" ] || [[ $revision == *+changes || $revision == unknown || $asked ]]; then
    build=(--file "$root/docker/$framework.Dockerfile" --tag "$image" --build-arg "DEVICE=$DEVICE" --build-arg "REVISION=$revision")
    [ "$DEVICE" = cpu ] || TOOLKIT=${TOOLKIT:-docker.io/nvidia/cuda:$cuda-devel-ubuntu24.04}
    for name in BASE TOOLKIT CUDAARCHS WHEELS; do
        [ -z "${!name:-}" ] || build+=(--build-arg "$name=${!name}")
    done
    echo "run.sh: building $image (the first time takes minutes)"
    "$engine" build "${build[@]}" "$root" || fail "$engine could not build $image; see its message above"
fi

mkdir -p "$root/results" "$root/data" # otherwise the engine creates them as root
exec "$engine" run "${options[@]}" "$image" "${command[@]}" "${flags[@]}"
