#!/usr/bin/env bash
# Build the CPU images without a container engine or an image registry, and try them: op tests, smoke
# presets, sizes and times. For a release; CI only runs the checks that need no build (tests/docker).
#
#   sudo bash docker/verify.sh [pytorch] [tensorflow]
#
# On Debian or Ubuntu, as root: apt-get install buildah debootstrap. 12 GB of disk. debootstrap creates
# the base image, Debian 12 with its Python 3.11. Environment variables: VOLUMES, files of this machine
# that pip and apt need (a pip.conf, certificates: "FILE:FILE:ro …"); WHEELS as in pytorch.Dockerfile;
# MIRROR for debootstrap.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fail() { echo "verify.sh: error: $*" >&2; exit 1; }

[ $# -gt 0 ] || set -- pytorch tensorflow
for framework in "$@"; do
    case $framework in pytorch | tensorflow) ;; *) fail "unknown framework '$framework', known: pytorch tensorflow" ;; esac
done
[ "$(id -u)" -eq 0 ] || fail "debootstrap needs root: sudo bash docker/verify.sh"
for program in buildah debootstrap; do
    command -v $program >/dev/null || fail "$program not found; on Debian or Ubuntu: apt-get install $program"
done
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot
base=localhost/samplenet-base
volumes=()
for volume in ${VOLUMES:-}; do volumes+=(--volume "$volume"); done
work=$(mktemp -d)
containers=()
finish() {
    rm -rf "$work"
    [ ${#containers[@]} -eq 0 ] || buildah rm "${containers[@]}" >/dev/null
}
trap finish EXIT

# needed again for each image: buildah removes it with the stage `toolkit`, which here is the same image
make_base() {
    ! buildah inspect --type image $base >/dev/null 2>&1 || return 0
    if [ ! -e "$work/root.tar" ]; then
        echo "verify.sh: creating $base"
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$work/root" ${MIRROR:+"$MIRROR"} >"$work/log" ||
            fail "debootstrap failed: $(tail -n 3 "$work/log")"
        rm -rf "$work"/root/var/lib/apt/lists/* "$work"/root/var/cache/apt/*
        tar -C "$work/root" -cf "$work/root.tar" .
    fi
    local container
    container=$(buildah from scratch)
    containers+=("$container")
    buildah add --quiet "$container" "$work/root.tar" / >/dev/null
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet "$container" $base >/dev/null
}

revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
rows=()
for framework in "$@"; do
    image=localhost/samplenet-$framework:cpu
    case $framework in
        pytorch) extra=torch tests=(tests/ops/test_ops.py tests/ops/test_torch.py tests/torch/test_sampler.py) ;;
        tensorflow) extra=tf tests=(tests/ops/test_ops.py tests/ops/test_tf.py tests/tf/test_sampler.py) ;;
    esac
    experiments=()
    for file in "$root"/*/experiment.py; do
        ! grep -q "^FRAMEWORK = \"$extra\"" "$file" || experiments+=("$(basename "${file%/*}")")
    done
    make_base
    start=$SECONDS
    buildah build --pull-never --layers=false --force-rm "${volumes[@]}" --build-arg BASE=$base --build-arg "REVISION=$revision" \
        ${WHEELS:+--build-arg "WHEELS=$WHEELS"} --file "$root/docker/$framework.Dockerfile" --tag "$image" "$root"
    built=$((SECONDS - start))

    # in the image itself, as a user that it does not know; pytest is mounted, so no layer has it
    container=$(buildah from --pull-never "$image")
    containers+=("$container")
    mkdir -m 777 "$work/$framework" "$work/$framework/pytest" "$work/$framework/results" "$work/$framework/data"
    mounts=(--volume "$root/tests:/opt/samplenet/tests:ro" --volume "$root/pyproject.toml:/opt/samplenet/pyproject.toml:ro")
    for folder in results data; do mounts+=(--volume "$work/$framework/$folder:/opt/samplenet/$folder"); done
    mounts+=(--volume "$work/$framework/pytest:/pytest" --volume "$root/constraints.txt:/constraints.txt:ro")
    inside() { buildah run --user 12345:12345 "${volumes[@]}" "${mounts[@]}" "$container" -- "$@"; }
    inside python -m samplenet.ops.build --check | tee "$work/check"
    grep -q "native ops for the CPU" "$work/check" || fail "$image holds no native ops"
    inside pip install --quiet --no-cache-dir --target /pytest -c /constraints.txt pytest hypothesis
    inside pip install --quiet --no-cache-dir --target /pytest --no-deps ml_dtypes # the tests' bfloat16; part of TensorFlow
    start=$SECONDS
    inside env PYTHONPATH=/pytest:/opt/samplenet/lib HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis TF_CPP_MIN_LOG_LEVEL=3 \
        python -m pytest -q -p no:cacheprovider -m "not slow" "${tests[@]}"
    tested=$((SECONDS - start)) start=$SECONDS
    inside python reproduce.py "${experiments[@]}" --preset smoke
    ran=$((SECONDS - start))
    grep -rqF "\"revision\": \"$revision\"" --include=environment.json "$work/$framework/results" ||
        fail "the results do not name the revision $revision"
    size=$(buildah images --format '{{.Size}}' "$image")
    rows+=("| samplenet-$framework:cpu | $size | $built s | $tested s | $ran s (${experiments[*]}) |")
done
echo "| image | size | build | op tests | smoke preset |"
echo "| --- | --- | --- | --- | --- |"
printf '%s\n' "${rows[@]}"
