# What the runners share. Source it with `extras`, `task` (what the task network's folder is called), `sizes_smoke`,
# `sizes_quick` and `sizes_paper` set, and `switches` of the task network's training that the runner takes too; it reads the
# flags, sets up, and leaves `python`, `out`, `run`, `task_flags` (the switches given) and `train_samplers`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
preset=quick sizes="" seeds=0 out="" data=() task_flags=() name=$(basename "$here")
refuse() { echo "${0##*/}: error: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
        --preset | --data-root | --sizes | --seeds | --out) [ -n "${2:-}" ] || refuse "$1 needs a value" ;;&
        --preset) preset=$2 ;;
        --data-root) data=(--data-root "$2") name=$(basename "$here")-$(basename "$2") ;;
        --sizes) sizes=$2 ;;
        --seeds) seeds=$2 ;;
        --out) out=$2 ;;
        -h | --help) sed -n '2,8s/^# *//p' "$0"; exit 0 ;;
        *)
            case " ${switches:-} " in *" $1 "*) task_flags+=("$1"); shift; continue ;; esac
            refuse "unknown option '$1'; --help lists them" ;;
    esac
    shift 2
done
config=$here/configs/$preset.yaml
[ -f "$config" ] || refuse "no preset '$preset', known: smoke quick paper"
case $preset in smoke) : "${sizes:=$sizes_smoke}" ;; quick) : "${sizes:=$sizes_quick}" ;; *) : "${sizes:=$sizes_paper}" ;; esac
: "${out:=$root/results/$preset/$name}"
case "$sizes $seeds" in *[!0-9\ ]*)
    refuse "--sizes and --seeds are whole numbers between quotes, as in \"32 16\", got '$sizes' and '$seeds'" ;;
esac
if [ "$preset" = paper ] && [ ${#data[@]} -eq 0 ]; then
    refuse "the paper preset is for the published data set (days of training); give its folder with --data-root"
fi

bash "$root/setup.sh" $extras
python=$root/.venv/bin/python
run() { echo "== $*"; "$python" "$here/$1" --config "$config" "${data[@]}" "${@:2}"; }

# SampleNet and S-NET for each size and seed, in front of the task network; their run folders go to `samplers`
samplers=()
train_samplers() {
    local m seed kind folder projection
    for m in $sizes; do
        for seed in $seeds; do
            for kind in samplenet snet; do
                folder=$out/$kind-$m-seed$seed
                projection=--projection
                [ $kind = samplenet ] || projection=--no-projection
                run train_samplenet.py --task "$out/$task" --sample-sizes "$m" $projection --seed "$seed" \
                    --out "$folder" --resume
                samplers+=("$folder")
            done
        done
    done
}
