#!/usr/bin/env bash
# Classification from set-up to table: classifier, SampleNet and S-NET, evaluation.
#   --preset smoke|quick|paper  settings in configs/ (quick)
#   --data-root DIR             a folder in the ModelNet40 h5 layout; without it, the built-in shapes
#   --sizes "32 16"             sample sizes to train for (32; paper: 512 256 128 64 32 16 8)
#   --seeds "0 1 2"             sampler seeds (0)
#   --out DIR                   where the runs go (results/<preset>/classification[-<data folder>])
# Finished runs are kept and killed ones continued, so the same command can be given again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
preset=quick sizes="" seeds=0 out="" data=() name=classification
while [ $# -gt 0 ]; do
    case $1 in
        --preset | --data-root | --sizes | --seeds | --out)
            [ -n "${2:-}" ] || { echo "${0##*/}: error: $1 needs a value" >&2; exit 2; } ;;&
        --preset) preset=$2 ;;
        --data-root) data=(--data-root "$2") name=classification-$(basename "$2") ;;
        --sizes) sizes=$2 ;;
        --seeds) seeds=$2 ;;
        --out) out=$2 ;;
        -h | --help) sed -n '2,8s/^# *//p' "$0"; exit 0 ;;
        *) echo "${0##*/}: error: unknown option '$1'; --help lists them" >&2; exit 2 ;;
    esac
    shift 2
done
config=$here/configs/$preset.yaml
[ -f "$config" ] || { echo "${0##*/}: error: no preset '$preset', known: smoke quick paper" >&2; exit 2; }
case $preset in smoke) : "${sizes:=8}" ;; quick) : "${sizes:=32}" ;; *) : "${sizes:=512 256 128 64 32 16 8}" ;; esac
: "${out:=$root/results/$preset/$name}"
case "$sizes $seeds" in *[!0-9\ ]*)
    echo "${0##*/}: error: --sizes and --seeds are whole numbers between quotes, as in \"32 16\", got '$sizes' and '$seeds'" >&2
    exit 2 ;;
esac
if [ "$preset" = paper ] && [ ${#data[@]} -eq 0 ]; then
    echo "${0##*/}: error: the paper preset is for ModelNet40 (days of training); give its folder with --data-root" >&2
    exit 2
fi

bash "$root/setup.sh" tf viz
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}
python=$root/.venv/bin/python
run() { echo "== $*"; "$python" "$here/$1" --config "$config" "${data[@]}" "${@:2}"; }

run train_classifier.py --out "$out/classifier" --resume
samplers=()
for m in $sizes; do
    for seed in $seeds; do
        for kind in samplenet snet; do
            folder=$out/$kind-$m-seed$seed
            projection=--projection
            [ $kind = samplenet ] || projection=--no-projection
            run train_samplenet.py --task "$out/classifier" --sample-sizes "$m" $projection --seed "$seed" \
                --out "$folder" --resume
            samplers+=("$folder")
        done
    done
done
run evaluate.py --task "$out/classifier" --samplers random fps "${samplers[@]}" --out "$out/evaluation"
