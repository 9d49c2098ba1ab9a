#!/usr/bin/env bash
# Set up and reproduce the tables: bash reproduce.sh [classification|registration|reconstruction|all] [--preset smoke|quick|paper] [--data-root DIR]
# What follows the experiments goes to their runners; --out and --data-root name folders.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
experiments=()
while [ $# -gt 0 ]; do
    case $1 in
        classification | registration | reconstruction) experiments+=("$1") ;;
        all) experiments=(classification registration reconstruction) ;;
        -h | --help) sed -n '2,3s/^# //p' "$0"; exit 0 ;;
        -*) break ;;
        *) echo "reproduce.sh: error: unknown experiment '$1', known: classification, registration, reconstruction, all" >&2; exit 2 ;;
    esac
    shift
done
case "${#experiments[@]} $*" in [2-9]*--out*) # they would write over each other
    echo "reproduce.sh: error: --out is for one experiment; several write to results/" >&2; exit 2 ;;
    [2-9]*--data-root*)
        if [[ " ${experiments[*]} " = *" reconstruction "* ]]; then
            echo "reproduce.sh: error: --data-root: reconstruction reads ShapeNetCore, the others ModelNet40; run them apart" >&2; exit 2
        fi ;;
esac
for experiment in "${experiments[@]:-classification}"; do
    bash "$here/$experiment/runner_samplenet.sh" "$@"
done
