"""Bad input to every script: status 1 or 2, one sentence that names the value, nothing written.

Each case calls a script in this process with flags that are right but for one fault. `{name}` is a
folder or file that the fixtures below create; `no:--out` leaves a flag out. Indented lines after
the sentence list details.
"""

import contextlib
import functools
import importlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from samplenet import InputError, weights
from samplenet.data import download, modelnet40, ply, shapenet
from samplenet.data.views.drawing import Drawing
from samplenet.data.views.meshes import BuiltIn
from samplenet.runs import settings
from samplenet.runs.checkpoint import save_checkpoint
from samplenet.runs.script import main

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
import plan  # noqa: E402
import reproduce  # noqa: E402

ARRAYS = {"w": np.zeros(1000, np.float32)}  # weights that no network here has
LONGEST = 120  # seconds for one case: far more than any takes, far less than for ever
N = 32

TRAINING = "--batch-size 4 --epochs 1 --out {out} "
RIGHT = {
    "classification/train_classifier.py": TRAINING
    + f"--data-root {{m40}} --num-points {N} --model vanilla --no-xla",
    "classification/train_samplenet.py": TRAINING
    + "--data-root {m40} --task {task} --sample-sizes 4",
    "classification/evaluate.py": "--data-root {m40} --task {task} --sizes 4 --out {out}",
    "classification/cost.py": "--task {task} --sizes 4 --out {out}",
    "reconstruction/train_autoencoder.py": TRAINING
    + f"--data-root {{snc}} --classes chair car --num-points {N}",
    "reconstruction/train_samplenet.py": TRAINING + "--task {task} --sample-sizes 4",
    "reconstruction/evaluate.py": "--task {task} --sizes 4 --out {out}",
    "registration/train_pcrnet.py": TRAINING
    + f"--data-root {{m40}} --num-points {N} --pairs 10 --device cpu",
    "registration/train_samplenet.py": TRAINING + "--task {task} --sample-sizes 4 --device cpu",
    "registration/evaluate.py": "--task {task} --sizes 4 --device cpu --out {out}",
    "feature_rendering/train_points.py": TRAINING
    + f"--data-root {{views}} --num-views 2 --image-size 8 --views-per-step 1 --num-points {N}",
    "feature_rendering/evaluate.py": "--networks {network} --out {out}",
    "shape_and_pose/train_shapes.py": TRAINING
    + f"--data-root {{views}} --num-views 2 --image-size 8 --views-per-step 1 --num-points {N} "
    "--grid-size 8 --kernel-size 3 --conv-width 2 --fc-width 8 --code-width 8",
    "shape_and_pose/evaluate.py": "--networks {network} --out {out}",
    "pretraining/train_images.py": TRAINING
    + f"--pairs-root {{pairs}} --num-views 2 --num-points {N} --depth 10 --width 4 --device cpu",
    "pretraining/train_points.py": TRAINING
    + f"--pairs-root {{pairs}} --num-views 2 --num-points {N} --pairs 4 --images {{images}} "
    "--device cpu",
    "pretraining/train_classifier.py": TRAINING
    + f"--data-root {{m40}} --num-points {N} --pretrained {{points}} --device cpu",
    "pretraining/train_parts.py": TRAINING
    + f"--classes cup --shapes-per-class 4 --num-points {N} --pretrained {{points}} --device cpu",
    "pretraining/train_scenes.py": TRAINING
    + f"--rooms 1 --room-points 5000 --num-points {N} --device cpu",
    "pretraining/train_detector.py": TRAINING
    + f"--rooms 6 --room-points 2000 --num-points {N} --num-seeds 16 --proposals 4 --width 16 "
    "--device cpu",
    "pretraining/train_samplenet.py": TRAINING
    + "--data-root {m40} --task {task} --sample-sizes 4 --device cpu",
    "pretraining/linear_probe.py": f"--data-root {{m40}} --num-points {N} --pretrained {{points}} "
    "--device cpu --out {out}",
    "pretraining/evaluate.py": "--runs {runs} --out {out}",
    "registration/bench.py": "--device cpu",
    "reconstruction/bench.py": "",
    "reproduce.py": "--preset smoke --out {out}",
    "samplenet.data.convert": "{snc} --out {out} --num-points 20",
    "samplenet.data.modelnet40": "--root {out}",
    "samplenet.data.shapenet": "--root {out}",
    "samplenet.data.s3dis": "--raw {empty} --out {out}",
    "samplenet.data.scanobjectnn": "--root {out}",
    "samplenet.data.shapes": "--root {out}",
    "samplenet.data.views": "--meshes builtin --out {out} --processes 1",
    "samplenet.data.views.published": "--root {out}",
    "samplenet.device": "tf",
    "samplenet.ops.build": "--quiet",
    "benchmarks/bulk.py": "--clouds 1",
    "benchmarks/captured_steps.py": "",
    "benchmarks/depth.py": "",
    "benchmarks/feature_steps.py": "",
    "benchmarks/gpu.py": "--device cpu",
    "benchmarks/gpu_tf.py": "--device cpu",
    "benchmarks/host_tf.py": "classification/train_classifier.py --out {out}",
    "benchmarks/layers.py": "",
    "benchmarks/ops.py": "--only none",
    "benchmarks/projections.py": "",
    "benchmarks/rendering.py": "",
    "benchmarks/sparse.py": "",
    "benchmarks/steps.py": "",
    "benchmarks/views.py": "",
    "samplenet.report": "",
    "samplenet.export": "--weights classification-32 --out {out}",
    "benchmarks/export.py": "",
    "examples/own_sampler.py": "-m 4 --out {out} {m40}",
    "examples/own_classifier.py": f"--data-root {{m40}} --num-points {N} -m 4",
    "samplenet.pretrained": "add ours --run {empty} --results {empty}",
    "samplenet.console.cli": "sample {snc}/03001627/0.ply -m 5 -o {out}.ply",
}
WITH_CONFIG = [name for name in RIGHT if re.match("(?!bench|examples).*/(?!bench)", name)]
TRAIN = [name for name in WITH_CONFIG if "/train_" in name]
SAMPLERS = [name for name in TRAIN if "samplenet" in name]
# by the flags that they take: of data sets of clouds, a frozen network, networks to score
READS_CLOUDS = [
    name for name in TRAIN if re.search("{m40}|{snc}", RIGHT[name]) and "{task}" not in RIGHT[name]
]
READS_VIEWS = [name for name in TRAIN if "{views}" in RIGHT[name]]
WITH_TASK = [name for name in WITH_CONFIG if "{task}" in RIGHT[name]]
WITH_NETWORKS = [name for name in WITH_CONFIG if "{network}" in RIGHT[name]]
READS_PAIRS = [name for name in TRAIN if "{pairs}" in RIGHT[name]]
PRETRAINED = [name for name in WITH_CONFIG if "--pretrained" in RIGHT[name]]
SCORES = [name for name in WITH_TASK if name not in SAMPLERS]
EVALUATE = [name for name in SCORES if "evaluate" in name]
READS_M40 = ["classification/train_classifier.py", "registration/train_pcrnet.py"]

# What the scripts share is tried once per framework, the settings in a training and an evaluation.
# tests/runs/test_settings.py tries every bound and choice of every script.
ONE_EACH = ["classification/train_classifier.py", "registration/evaluate.py"]
ONE_EACH_TRAIN = ["reconstruction/train_samplenet.py", "registration/train_pcrnet.py"]
ONE_EACH_WITH_TASK = ["classification/evaluate.py", "registration/train_samplenet.py"]

# (scripts, {what is wrong: (flags, what the sentence holds)})
FAULTS = [
    (
        list(RIGHT),
        {
            "unknown flag": ("--epoch 3", "unrecognized arguments: --epoch"),
        },
    ),
    (
        ONE_EACH,
        {
            "flag without a value": (
                "--batch-size",
                "argument --batch-size: expected one argument",
            ),
            "missing config": (
                "--config {nowhere}",
                r"cannot read the config nowhere: No such file",
            ),
            "config that is a folder": (
                "--config {empty}",
                "cannot read the config .*empty: Is a directory",
            ),
            "config of a list": (
                "--config {list}",
                "list.yaml must hold fields or sections of fields, got list",
            ),
            "config that is no YAML": ("--config {broken}", "broken.yaml is not a YAML file"),
            "config that runs code": ("--config {code}", "code.yaml is not a YAML file"),
            "config with an unknown key": (
                "--config {key}",
                "key.yaml: unknown key 'batchsize'; did you mean 'batch_size'",
            ),
            "config of another script": (
                "--config {alien}/config.yaml",
                "config.yaml: unknown key",
            ),
            "config with an unknown section": (
                "--config {section}",
                "section 'trian' names no script",
            ),
            "config of a wrong type": ("--config {type}", "batch_size must be int, got 'many'"),
            "no whole number": ("--batch-size 2.5", "--batch-size must be int, got '2.5'"),
            "no clouds a step": ("--batch-size 0", "--batch-size must be at least [12], got 0"),
            "empty out": ("--out=", "--out is empty; name a folder"),
            "out below a file": ("--out {file}/run", "run: Not a directory"),
        },
    ),
    (
        WITH_CONFIG,
        {
            "no out": ("no:--out", "--out is needed: the folder to write the"),
            "out that is a file": ("--out {file}", "file.txt: File exists"),
        },
    ),
    (
        ONE_EACH_TRAIN,
        {
            "learning rate nan": ("--lr nan", "--lr must be a finite number, got 'nan'"),
            "learning rate infinite": ("--lr inf", "--lr must be a finite number, got 'inf'"),
            "empty data root name": (
                "--data-root=",
                "--data-root is empty; name a folder or leave it out",
            ),
        },
    ),
    (
        TRAIN,
        {
            "batch larger than the set": (
                "--batch-size 4000",
                "--batch-size 4000 is larger than the training set",
            ),
            "out that holds a run": (
                "--out {held}",
                "held already holds a run; give --resume or another --out",
            ),
            "out of a run with other settings": (
                "--out {held} --resume --seed 7",
                "seed: 0 -> 7.*choose another --out",
            ),
        },
    ),
    (
        [*READS_CLOUDS, *READS_VIEWS, *SAMPLERS],
        {
            "missing data root": (
                "--data-root {nowhere}",
                "nowhere is not a folder: correct it, or fetch",
            ),
        },
    ),
    (
        READS_PAIRS,
        {
            "missing folder of pairs": (
                "--pairs-root {nowhere}",
                "has no <class>/train/<name>.txt",
            ),
            "more pictures than there are": (
                "--num-views 3",
                "--num-views must be at most the 2 of each object, got 3",
            ),
        },
    ),
    (
        ["pretraining/train_images.py"],
        {
            "unknown depth": ("--depth 20", "depth must be one of 10, 18, 34, 50, 101, got 20"),
            "too few views for two sides": (
                "--positives views --views 2",
                "--views 2 needs 4 views, got 2",
            ),
        },
    ),
    (
        ["pretraining/train_scenes.py"],
        {
            "augmented blocks": (
                "--augmentation scene",
                "--augmentation scene is of whole rooms: give --backbone srunet",
            ),
            "larger batch than rooms": (
                "--backbone srunet --batch-size 4",
                "--batch-size 4 is larger than the training set of 1 clouds",
            ),
            "no voxels": ("--voxel-size 0", "--voxel-size must be above 0, got 0.0"),
        },
    ),
    (
        ["pretraining/train_points.py"],
        {
            "no image network": (
                "no:--images",
                "--images is needed: the run folder of",
            ),
            "image network that is no run": (
                "--images {empty}",
                "empty is no run folder: it has no config.yaml",
            ),
            "point network as image network": (
                "--images {points}",
                "config.yaml is damaged or of another kind of run .it lacks depth",
            ),
            "scenes that are none": (
                "--augmentation scene",
                "--augmentation scene needs scenes: give --backbone srunet, and --rooms",
            ),
            "unknown depth": ("--backbone srunet --unet-depth 18", "one of 34, 14, got 18"),
            "captured voxels": (
                "--backbone srunet --unet-depth 14 --unet-width 2 --capture",
                "--capture needs batches of one size, not voxels",
            ),
            "more pairs than there are": ("--pairs 500", "no object has 500 pairs, the most is"),
            "unknown loss": (
                "--losses pixel",
                "must be one of point, global, got 'pixel'",
            ),
        },
    ),
    (
        PRETRAINED,
        {
            "pre-trained network that is no run": (
                "--pretrained {empty}",
                "empty is no run folder: it has no config.yaml",
            ),
            "image network as pre-trained": (
                "--pretrained {images}",
                "config.yaml is damaged or of another kind of run .it lacks backbone",
            ),
            "unfinished pre-training": (
                "--pretrained {unfinished}",
                "unfinished stands at epoch 1 of 9; continue it with --resume",
            ),
        },
    ),
    (
        ["pretraining/train_classifier.py", "pretraining/train_parts.py"],
        {
            "pre-trained network of another backbone": (
                "--backbone dgcnn",
                "points restores 0.0% of the weights of this network, 15% are needed",
            ),
        },
    ),
    (
        ["pretraining/train_detector.py"],
        {
            "folder that is not VoteNet's": (
                "--data-root {empty}",
                "empty has neither sunrgbd_pc_bbox_votes_50k_v1_train nor",
            ),
            "class without a box": (
                "--rooms 2 --batch-size 2",
                "the 2 training rooms have no box of .*: use more rooms",
            ),
            "more seeds than points": (
                "--num-seeds 40",
                "--num-seeds must be at least --proposals and at most 16",
            ),
        },
    ),
    (
        ["pretraining/evaluate.py"],
        {
            "missing runs": (
                "--runs {nowhere}",
                "--runs nowhere holds no run with scores.json",
            ),
            "no run": ("--runs {empty}", "holds no run with scores.json"),
        },
    ),
    (
        READS_CLOUDS,
        {
            "more points than there are": (
                "--num-points 4096",
                "num_points must be at most that, got 4096|16 of 16 train clouds",
            ),
        },
    ),
    (
        READS_M40[1:],
        {
            "data root that is a file": ("--data-root {file}", "file.txt is not a folder"),
            "data root of another data set": ("--data-root {snc}", "shape_names.txt is missing"),
            "h5 that is missing": (
                "--data-root {m40-missing}",
                "holds no file 'ply_data_train0.h5': fetch",
            ),
            "h5 that is cut off": (
                "--data-root {m40-cut}",
                "train0.h5 cannot be read as HDF5.*fetch it again",
            ),
            "h5 that is none": ("--data-root {m40-none}", "train0.h5 cannot be read as HDF5"),
            "h5 with a bit flipped": (
                "--data-root {m40-flipped}",
                "train0.h5 cannot be read as HDF5",
            ),
            "h5 without labels": (
                "--data-root {m40-unlabelled}",
                "train0.h5 has no dataset 'label'",
            ),
            "clouds of a wrong shape": (
                "--data-root {m40-shape}",
                r"'data' of float32 \(20, 40, 4\) and .*: make them float32 \(n, P, 3\)",
            ),
            "labels out of range": (
                "--data-root {m40-labels}",
                r"labels 0\.\.9, but shape_names.txt has 2 names",
            ),
        },
    ),
    (
        READS_VIEWS,
        {
            "data root that is a file": ("--data-root {file}", "file.txt is not a folder"),
            "data root that is empty": ("--data-root {empty}", "chair_train.txt cannot be read"),
            "picture that is cut off": ("--data-root {views-cut}", "render_1.png cannot be read"),
            "unknown class": ("--classes vase", "vase_train.txt cannot be read"),
            "a class twice": ("--classes chair chair", "--classes names 'chair' twice"),
        },
    ),
    (
        READS_M40,
        {
            "data root that is empty": (
                "--data-root {empty}",
                "shape_names.txt is missing: is this a folder in the ModelNet40",
            ),
            "cloud of NaN": (
                "--data-root {m40-nan}",
                "train0.h5 has a coordinate that is not finite in cloud 3: remove",
            ),
        },
    ),
    (
        ["reconstruction/train_autoencoder.py"],
        {
            "data root that is a file": ("--data-root {file}", "file.txt is not a folder"),
            "data root that is empty": (
                "--data-root {empty}",
                r"03001627 \(chair\) is missing: leave this class out",
            ),
            "data root of another data set": (
                "--data-root {m40}",
                r"03001627 \(chair\) is missing",
            ),
            "PLY that is cut off": (
                "--data-root {snc-cut}",
                "1 of 16 train clouds cannot be used; replace the files",
            ),
            "PLY that is none": ("--data-root {snc-none}", "1 of 16 train clouds cannot be used"),
            "PLY with NaN": ("--data-root {snc-nan}", "1 of 16 train clouds cannot be used"),
            "PLY of few points": ("--data-root {snc-few}", "1 of 16 train clouds cannot be used"),
            "unknown class": ("--classes chair dog", "got 'dog'"),
            "a class twice": ("--classes chair chair", "--classes names 'chair' twice"),
        },
    ),
    (
        ["classification/train_classifier.py"],
        {
            "unknown model": (
                "--model resnet",
                "--model must be pointnet, vanilla or FILE.py:CLASS, got 'resnet'",
            ),
            "missing network": (
                "--model {nowhere}.py:Net",
                r"--model: there is no file .*nowhere\.py",
            ),
        },
    ),
    (
        ["registration/train_pcrnet.py"],
        {
            "unknown class": (
                "--class-name cars",
                "--class-name must be one of car, chair; got 'cars'",
            ),
            "too few points for an independent source": (
                "--independent",
                "40 points a cloud: .* got 64",
            ),
        },
    ),
    (
        ONE_EACH_WITH_TASK,
        {
            "empty task": ("--task=", "--task is empty"),
            "task that is no run": (
                "--task {empty}",
                "empty is no run folder: it has no config.yaml",
            ),
            "damaged task": (
                "--task {damaged}",
                "last.safetensors is damaged .*; continue the run with --resume",
            ),
            "task without a checkpoint": (
                "--task {unwritten}",
                "there is no checkpoint .*; continue the run with --resume",
            ),
        },
    ),
    (
        WITH_TASK,
        {
            "no task": ("no:--task", "--task is needed: the run folder of the trained"),
            "missing task": ("--task {nowhere}", "nowhere is no run folder: it has no config.yaml"),
            "task of another experiment": (
                "--task {alien}",
                "config.yaml is damaged or of another kind of run",
            ),
            "sampler as task": (
                "--task {sampler}",
                "config.yaml is damaged or of another kind of run",
            ),
            "unfinished task": (
                "--task {unfinished}",
                "unfinished stands at epoch 1 of 9; continue it with --resume",
            ),
        },
    ),
    (
        WITH_NETWORKS,
        {
            "no network": ("no:--networks", "--networks needs the run folder of a trained network"),
            "missing network": (
                "--networks {nowhere}",
                "--networks: 'nowhere' is not a run folder",
            ),
            "network that is no run": (
                "--networks {empty}",
                "empty is no run folder: it has no config.yaml",
            ),
            "damaged network": (
                "--networks {damaged}",
                "last.safetensors is damaged .*; continue the run with --resume",
            ),
            "network of another experiment": (
                "--networks {alien}",
                "config.yaml is damaged or of another kind of run",
            ),
            "unfinished network": (
                "--networks {unfinished}",
                "unfinished stands at epoch 1 of 9; continue it with --resume",
            ),
            "missing data root": (
                "--data-root {nowhere}",
                "nowhere is not a folder: correct it, or fetch",
            ),
        },
    ),
    (
        SAMPLERS[::2],
        {
            "a size twice": (
                "--sample-sizes 4 8 4",
                r"--sample-sizes must be sizes that differ, got \[4, 8, 4\]",
            ),
            "a size that is no number": (
                "--sample-sizes 4,8",
                "--sample-sizes must be int, got '4,8'",
            ),
            "no size": (
                "no:--sample-sizes --config {sizes}",
                r"--sample-sizes must be sizes that differ, got \[\]",
            ),
        },
    ),
    (
        SAMPLERS,
        {
            "m above N": (
                "--sample-sizes 33",
                rf"--sample-sizes must be in \[1, .*\] = \[1, {N}\], got 33",
            ),
            "k above N": ("--k 33", r"--k must be in \[1, .*32\].* got 33"),
        },
    ),
    (
        ["classification/train_samplenet.py", "classification/evaluate.py"],
        {
            "data of other classes": (
                "--data-root {m40-renamed}",
                "was trained on other classes than .*renamed has",
            )
        },
    ),
    (
        ["registration/train_samplenet.py"],
        {
            "batch norm over processes": (
                "--sync-bn",
                "--sync-bn needs GPUs; on the CPU each process",
            )
        },
    ),
    (
        SCORES,
        {
            "unknown sampler": (
                "--samplers poisson",
                "'poisson' is neither a run folder nor one of random, fps",
            ),
            "missing sampler": (
                "--samplers {nowhere}",
                "'nowhere' is neither a run folder nor one of random, fps",
            ),
            "sampler that is no run": (
                "--samplers {empty}",
                "empty is no run folder: it has no config.yaml",
            ),
            "task as sampler": (
                "--samplers {task}",
                "config.yaml is damaged or of another kind of run",
            ),
            "unfinished sampler": (
                "--samplers {unfinished-sampler}",
                "stands at epoch 1 of 9; continue it with --resume",
            ),
            "sampler of other points": (
                "--samplers {wide}",
                rf"was trained on 64 points|= \[1, {N}\], got 64",
            ),
            "size above N": (
                "--sizes 33",
                f"--sizes must be at most N = {N}, the task network's points, got 33",
            ),
        },
    ),
    (
        EVALUATE,
        {
            "missing data root": (
                "--data-root {nowhere}",
                "nowhere is not a folder: correct it, or fetch",
            ),
            "the same sampler twice": (
                "--samplers {sampler} {twin}",
                "are both samplenet, m = 4, seed 0; score them apart",
            ),
            "missing samples": (
                "--samples {nowhere}",
                "--samples: .*nowhere is not a folder; name one",
            ),
            "empty samples": ("--samples {empty}", "--samples: .*empty holds no samples; name one"),
            "samples with an unknown key": (
                "--samples {samples}",
                "sampler.yaml: unknown key 'name'",
            ),
            "samples that are there": (
                "--samplers fps --save-samples {taken}",
                "fps-4-seed0 is there already; remove it",
            ),
        },
    ),
    (
        ["registration/bench.py", "reconstruction/bench.py"],
        {
            "no steps": ("--steps 0", "--steps must be at least 1, got 0"),
            "no clouds a step": ("--batch-size 0", "--batch-size must be at least 1, got 0"),
            "no number": ("--num-points many", "--num-points must be int, got 'many'"),
        },
    ),
    (["registration/bench.py"], {"m above N": ("--size 2000", r"\[1, 1024\], got 2000")}),
    (
        ["reproduce.py"],
        {
            "unknown experiment": (
                "segmentation",
                "unknown experiment 'segmentation', known: classification",
            ),
            "unknown preset": ("--preset slow", "no preset 'slow', known: smoke quick full paper"),
            "unknown sampler": ("--samplers fps", "--samplers: unknown 'fps', known: snet"),
            "negative seed": ("--seeds -1", "--seeds must be at least 0, got -1"),
            "size of zero": ("--sizes 0", "--sizes must be at least 1, got 0"),
            "sizes with a comma": ("--sizes 32,16", "argument --sizes: invalid int value: '32,16'"),
            "no jobs": ("--jobs 0", "--jobs must be at least 1, got 0"),
            "unknown model": (
                "--model resnet",
                "--model must be pointnet, vanilla or FILE.py:CLASS, got 'resnet'",
            ),
            "missing network": (
                "--model {nowhere}.py:Net",
                r"--model: there is no file .*nowhere\.py",
            ),
            "model for registration": (
                "registration --model vanilla",
                "--model is for classification",
            ),
            "model for the ablation": (
                "ablation --model vanilla",
                "the ablation has its own two networks; leave --model",
            ),
            "one point": ("--num-points 1", "--num-points must be at least 2, got 1"),
            "size above the points": (
                "--num-points 8 --sizes 9",
                "--sizes must be at most --num-points, 8, got 9",
            ),
            "missing samples": (
                "--samples {nowhere}",
                "--samples: .*nowhere is not a folder; correct it",
            ),
            "samples for two": (
                "registration classification --samples {m40}",
                "of one experiment; name that one alone",
            ),
            "paper without data": (
                "--preset paper",
                "the paper preset is for the published data.*--data-root",
            ),
            "one data root for two data sets": (
                "all --data-root {m40}",
                "give all of --data-root, --shapenet-root, or none",
            ),
            "missing data root": (
                "--data-root {nowhere}",
                "--data-root: .*nowhere is not a folder; correct it",
            ),
            "missing ShapeNet root": (
                "reconstruction --shapenet-root {nowhere}",
                "--shapenet-root: .*is not a folder",
            ),
            "ShapeNet for registration": (
                "registration --shapenet-root {snc}",
                "--shapenet-root is for reconstruction",
            ),
            "skipping elsewhere": ("registration --skip-bad", "--skip-bad is for reconstruction"),
            "ablation with sizes": (
                "ablation --sizes 8",
                "the ablation has its own size and samplers",
            ),
            "out that is a file": (
                "--out {file}",
                "--out: .*file.txt is a file; choose another folder",
            ),
        },
    ),
    (
        [
            *("samplenet.data.modelnet40", "samplenet.data.shapenet", "samplenet.data.shapes"),
            "samplenet.data.views.published",
        ],
        {
            "no root": ("no:--root", "the following arguments are required: --root"),
            "root that is a file": (
                "--root {file}",
                r"file.txt cannot be written|file.txt.*: (File exists|Not a directory)",
            ),
        },
    ),
    (
        ["samplenet.data.modelnet40", "samplenet.data.shapenet", "samplenet.data.views.published"],
        {
            "address that is none": (
                "--url nonsense",
                "could not be downloaded; get it by other means and put it at",
            ),
            "server that is not there": (
                "--url http://127.0.0.1:1/a.zip",
                "could not be downloaded; get it by other means",
            ),
        },
    ),
    (
        ["samplenet.data.shapenet"],
        {
            "missing archive": ("--archive {nowhere}", "nowhere is not a file: correct --archive"),
            "archive that is none": ("--archive {file}", "file.txt is damaged"),
            "archive of something else": (
                "--archive {zip}",
                "other.zip holds no .*: it is another archive",
            ),
        },
    ),
    (
        ["samplenet.data.shapes"],
        {"no shapes": ("--train-per-class 0", "train_per_class must be at least 1, got 0")},
    ),
    (
        ["samplenet.ops.build"],
        {
            "compiler that is none": (
                "CXX=nonsense --torch --force",
                "CXX names 'nonsense', which is no program here",
            )
        },
    ),
    (
        ["benchmarks/gpu.py", "benchmarks/gpu_tf.py"],
        {"unknown device": ("--device tpu", "argument --device: invalid choice: 'tpu'")},
    ),
    (
        ["benchmarks/host_tf.py"],
        {
            "another script": (
                "no:classification/train_classifier.py",
                "argument script: invalid choice",
            )
        },
    ),
    (
        ["benchmarks/depth.py", "benchmarks/ops.py", "benchmarks/projections.py"],
        {"no number": ("--threads many", "argument --threads: invalid int value: 'many'")},
    ),
    (
        ["samplenet.export"],
        {
            "no weights": ("no:--weights", "one of the arguments --weights --fps is required"),
            "unknown weights": ("--weights nonsense", "nonsense"),
            "unknown format": ("--out {out}.abc", "out.abc must end in .onnx, .pt2 or .keras"),
        },
    ),
    (
        ["benchmarks/layers.py", "benchmarks/sparse.py", "benchmarks/steps.py"],
        {"no number": ("--turns many", "argument --turns: invalid int value: 'many'")},
    ),
    (
        ["benchmarks/sparse.py"],
        {
            "no voxels": ("--voxels -5", "--voxels must be at least 1, got -5"),
            "no features": ("--width 0", "--width must be at least 1, got 0"),
            "no threads": ("--threads 0", "--threads must be at least 1, got 0"),
            "no turns": ("--turns 0", "--turns must be at least 1, got 0"),
            "more voxels than the room's": (
                "--voxels 1000000000",
                "--voxels must be at most [0-9]+ of the room, got 1000000000",
            ),
            "out below a file": ("--out {file}/a.json", "file.txt: File exists"),
        },
    ),
    (
        ["benchmarks/rendering.py"],
        {"unknown size": ("--only x", "argument --only: invalid choice: 'x'")},
    ),
    (
        ["benchmarks/export.py"],
        {"unknown runtime": ("--only x", "argument --only: invalid choice: 'x'")},
    ),
    (
        ["examples/own_sampler.py"],
        {
            "larger sample than cloud": ("-m 999", r"-m must be in \[1, N\] = .*, got 999"),
            "no samples": ("no:{m40} {empty}", "shape_names.txt is missing"),
            "folder that is there": ("--out {empty}", "empty is there already; remove it"),
        },
    ),
    (
        ["examples/own_classifier.py"],
        {
            "larger sample than cloud": ("-m 33", r"-m must be in \[1, N\] = \[1, 32\], got 33"),
            "no data": ("--data-root nowhere", "nowhere is not a folder"),
        },
    ),
    (
        ["samplenet.data.convert"],
        {
            "more points than the files have": ("--num-points 5000", "has too few usable scans, 0"),
        },
    ),
    (
        ["samplenet.data.views"],
        {
            "pictures of no pixels": ("--size 0", "size must be at least 1, got 0"),
            "missing meshes": ("no:--meshes --meshes {nowhere}", "nowhere is not a folder"),
            "list of another name": ("--split {file}", "must be named <synset>_<split>.txt"),
        },
    ),
    (
        ["samplenet.pretrained"],
        {
            "no command": ("no:add no:ours no:--run no:--results", "required: COMMAND"),
            "folder without results": ("", "results.json: No such file"),
        },
    ),
    (
        ["samplenet.console.cli"],
        {
            "unknown format": ("-o {out}.abc", "out.abc: its extension must be one of .ply"),
            "unknown sampler": ("--sampler x", "argument --sampler: invalid choice: 'x'"),
            "m of zero": ("-m 0", "-m must be at least 1, got 0"),
            "more points than there are": ("-m 41", "has 40 points; -m asks for 41"),
            "unknown weights": ("--weights x", "no weights 'x'; known: classification-32, "),
            "weights for another sampler": (
                "--weights x --sampler fps",
                "--weights is for --sampler samplenet or greedy, not fps",
            ),
        },
    ),
    (
        ["samplenet.report"],
        {
            "missing folder": ("{nowhere}", "cannot read .*nowhere"),
            "folder without results": ("{empty}", "cannot read .*results.json"),
            "page of nothing": ("--page {empty}", "no evaluation below .*empty"),
        },
    ),
]
CASES = [
    pytest.param(script, *case, id=f"{script}: {what}")
    for scripts, faults in FAULTS
    for script in scripts
    for what, case in faults.items()
]


def write_run(folder, config, arrays, done=True, **meta):
    """Write a run folder as a training script leaves it."""
    folder.mkdir()
    (folder / "config.yaml").write_text(settings.dump(config))
    epoch = config.epochs if done else 1
    save_checkpoint(
        folder / "last.safetensors", arrays, {"epoch": epoch, "step": epoch, "done": done, **meta}
    )


def write_pretraining(experiment, scripts, folder, files):
    """Write pixel-point pairs, and untrained runs; return the settings of the task network."""
    from samplenet.torch.state import State

    rng = np.random.default_rng(0)
    for name in "abcdef":
        images = rng.integers(256, size=(2, 8, 8, 3), dtype=np.uint8)
        pairs = rng.integers(0, (2, 8, 8, N), (8, 4))
        cloud = rng.uniform(-1, 1, (N, 3))
        scripts.pair_files.write(folder / "pairs", f"cup/train/{name}", cloud, images, pairs)
    config = scripts.train_images.Config(depth=10, width=4, outputs=8, epochs=9)
    net = scripts.resnet.ImageNetwork(10, 4, 8)
    write_run(folder / "images", config, State(net).arrays())
    config = scripts.train_points.Config(epochs=9)
    arrays = State(scripts.train_points.Learner(config, 32, 8, 8)).arrays()
    write_run(folder / "points", config, arrays)
    scored = folder / "runs" / "classifier"
    scored.mkdir(parents=True)
    words = ("task", "classification"), ("start", "random"), ("backbone", "pointnet")
    method = dict([*words, ("labels", "all")])
    scripts.scores.write(scored, method, 0, 0.0, 8, {"accuracy": 0.5})
    config = scripts.train_classifier.Config(num_points=N, epochs=9, transforms=False)
    trunk = scripts.backbones.build_trunk(config)
    arrays = State(scripts.classifiers.CLASSIFIERS["pointnet"](trunk, 2)).arrays()
    write_run(folder / "task", config, arrays, names=["car", "chair"])
    write_run(folder / "sampler", scripts.train_samplenet.Config(epochs=9), arrays)
    return config


def write_m40(folder, **change):
    """Write 20 training and 8 test clouds; `change` replaces datasets of the training file."""
    rng = np.random.default_rng(0)
    points, labels = rng.uniform(-1, 1, (28, 40, 3)).astype(np.float32), np.arange(28) % 2
    parts = [
        (points[rows], labels[rows], [f"{i}" for i in range(28)[rows]])
        for rows in (slice(20), slice(20, 28))
    ]
    modelnet40.write(folder, ["car", "chair"], *parts)
    with h5py.File(folder / "ply_data_train0.h5", "r+") as h5:
        for key, array in change.items():
            del h5[key]
            if array is not None:
                h5[key] = array
    return folder / "ply_data_train0.h5"


def write_snc(folder):
    """Write ten chairs and ten cars; return the first chair of the training split."""
    for synset in ("03001627", "02958343"):
        (folder / synset).mkdir(parents=True)
        for i in range(10):
            points = np.random.default_rng(i).uniform(-0.5, 0.5, (40, 3)).astype(np.float32)
            (folder / synset / f"{i}.ply").write_bytes(ply.encode(points))
    return folder / "03001627" / f"{shapenet.split_rows(10, 'train')[0]}.ply"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write data sets, presets and obstacles; return their paths by name."""
    folder = tmp_path_factory.mktemp("input")
    points = np.random.default_rng(0).uniform(-1, 1, (20, 40, 4)).astype(np.float32)
    nan = points[..., :3].copy()
    nan[3, 5, 1] = np.nan
    write_m40(folder / "m40")
    write_m40(folder / "m40-missing").unlink()
    write_m40(folder / "m40-none").write_text("hello")
    write_m40(folder / "m40-unlabelled", label=None)
    write_m40(folder / "m40-nan", data=nan)
    write_m40(folder / "m40-shape", data=points)
    write_m40(
        folder / "m40-labels", label=np.full((20, 1), 9, np.uint8) * (np.arange(20) % 2)[:, None]
    )
    write_m40(folder / "m40-renamed")
    (folder / "m40-renamed" / "shape_names.txt").write_text("chair\ncar\n")
    cut = write_m40(folder / "m40-cut")
    cut.write_bytes(cut.read_bytes()[:-2000])
    flipped = write_m40(folder / "m40-flipped")
    with h5py.File(flipped) as h5:
        place = h5["data"].id.get_chunk_info(0).byte_offset + 100
    content = bytearray(flipped.read_bytes())
    content[place] ^= 1
    flipped.write_bytes(content)
    write_snc(folder / "snc")
    cut = write_snc(folder / "snc-cut")
    cut.write_bytes(cut.read_bytes()[:-20])
    write_snc(folder / "snc-none").write_text("hello")
    write_snc(folder / "snc-nan").write_bytes(ply.encode(nan[3]))
    write_snc(folder / "snc-few").write_bytes(ply.encode(nan[0, :20]))
    if find_spec("embreex"):
        from samplenet.data.views.make import make

        make(BuiltIn(["chair"], 10), folder / "views", Drawing(views=2, size=8, points=50))
        model = (folder / "views/splits/chair_train.txt").read_text().split()[0]
        cut = shutil.copytree(folder / "views", folder / "views-cut") / "chair" / model
        (cut / "render_1.png").write_bytes((cut / "render_1.png").read_bytes()[:-40])
    for name, text in {
        "list": "- 1",
        "broken": "a: [",
        "code": "out: !!python/object/apply:os.system ['true']",
        "key": "batchsize: 3",
        "section": "trian: {epochs: 3}",
        "type": "batch_size: many",
        "sizes": "sample_sizes: []",
    }.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "file.txt").write_text("hello")
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    (folder / "empty").mkdir()
    (folder / "taken" / "fps-4-seed0").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "samples" / "sampler.yaml").write_text("name: mine\n")
    found = {path.name.removesuffix(".yaml"): path for path in folder.iterdir()}
    return {**found, "file": folder / "file.txt", "zip": folder / "other.zip", "nowhere": "nowhere"}


def write_task_and_samplers(experiment, scripts, folder, files):
    """Write untrained runs of a task network and of samplers for it; return the task's settings."""
    sampler_config = scripts.train_samplenet.Config(sample_sizes=[4], epochs=9)
    sampler = scripts.train_samplenet.build(sampler_config, N)
    if experiment == "classification":
        config = scripts.train_classifier.Config(model="vanilla", num_points=N, epochs=9)
        net = scripts.pointnet.build("vanilla", 2)
    elif experiment == "reconstruction":
        classes = {"classes": ["chair", "car"], "shapes_per_class": 10}
        config = scripts.train_autoencoder.Config(num_points=N, epochs=9, **classes)
        net = scripts.autoencoder.build(N)
    else:
        config = scripts.train_pcrnet.Config(num_points=N, epochs=9, pairs=10, shapes_per_class=10)
        net = scripts.train_pcrnet.build(config)
    library = "torch" if experiment == "registration" else "tf"
    State = importlib.import_module(f"samplenet.{library}.state").State
    write_run(folder / "task", config, State(net).arrays(), names=["car", "chair"])
    write_run(folder / "sampler", sampler_config, State(sampler).arrays())
    weights.save(
        sampler, folder / "sampler" / "sampler.safetensors", {"sizes": [4], "num_points": N}
    )
    shutil.copytree(folder / "sampler", folder / "twin")
    write_run(folder / "unfinished-sampler", sampler_config, ARRAYS, done=False)
    sampler_config.sample_sizes = [64]
    write_run(folder / "wide", sampler_config, ARRAYS)
    weights.save(
        sampler, folder / "wide" / "sampler.safetensors", {"sizes": [64], "num_points": 64}
    )
    return config


def write_network(experiment, scripts, folder, files):
    """Write an untrained run of an experiment without samplers; return its settings."""
    from samplenet.tf.state import State

    (script,) = (name for name in TRAIN if Path(name).parent.name == experiment)
    flags = RIGHT[script].format_map({**files, "out": folder / "out"}).split()
    config = settings.load(getattr(scripts, Path(script).stem).Config, flags)
    config.epochs = 9
    write_run(folder / "network", config, State(scripts.networks.build(config)).arrays())
    return config


@pytest.fixture(scope="module")
def runs(import_scripts, tmp_path_factory, files):
    """Return a function of an experiment: its modules, and untrained run folders by name."""

    @functools.cache
    def make(experiment):
        scripts, folder = import_scripts(experiment), tmp_path_factory.mktemp(experiment)
        samples = hasattr(scripts, "train_samplenet")
        write = write_task_and_samplers if samples else write_network
        write = write_pretraining if experiment == "pretraining" else write
        config = write(experiment, scripts, folder, files)
        for name in ("damaged", "unwritten"):
            write_run(folder / name, config, ARRAYS)
        last = folder / "damaged" / "last.safetensors"
        last.write_bytes(last.read_bytes()[:-100])
        (folder / "unwritten" / "last.safetensors").unlink()
        write_run(folder / "unfinished", config, ARRAYS, done=False)
        (folder / "alien").mkdir()
        of_another = "classes: [chair]" if experiment == "registration" else "class_name: car"
        (folder / "alien" / "config.yaml").write_text(f"{of_another}\nout: results/x\n")
        return scripts, {path.name: path for path in folder.iterdir()}

    return make


ACTIONS = {
    "evaluate": "evaluate",
    "cost": "measure_all",
    "bench": "measure",
    "linear_probe": "probe",
}


def call(script, runs):
    """Return what to call for a script in this process, and the script's path."""
    if script == "reproduce.py":
        return lambda: sys.exit(reproduce.main()), ROOT / script
    if script.startswith(("benchmarks/", "examples/")):
        return lambda: runpy.run_path(str(ROOT / script), run_name="__main__"), ROOT / script
    program = ROOT / "common" / script.replace(".", "/") / "__main__.py"
    if program.exists():
        return lambda: runpy.run_path(str(program), run_name="__main__"), program
    if script.startswith("samplenet."):
        module = importlib.import_module(script)
        if hasattr(module, "start"):
            return lambda: main(module.start), module.__file__
        return lambda: sys.exit(module.main()), module.__file__
    experiment, name = Path(script).parent.name, Path(script).stem
    module = getattr(runs(experiment)[0], name)
    action = getattr(module, ACTIONS.get(name, "train"))
    return lambda: main(action, module.Config), module.__file__


def command_line(script, flags):
    """Return a script's right flags changed by `flags`, and the environment that these set."""
    right, more = RIGHT[script].split(), flags.split()
    environment = dict(word.split("=") for word in more if re.match("[A-Z]+=", word))
    for gone in [word.removeprefix("no:") for word in more if word.startswith("no:")]:
        place = right.index(gone) if gone in right else len(right)
        del right[place : place + 2]
    return right + [
        w for w in more if not w.startswith("no:") and w.split("=")[0] not in environment
    ], environment


def held(folder, script, runs, words):
    """Write the folder of a run with the right settings that has just begun."""
    module = getattr(runs(Path(script).parent.name)[0], Path(script).stem)
    folder.mkdir()
    (folder / "config.yaml").write_text(settings.dump(settings.load(module.Config, words)))
    return folder


@contextlib.contextmanager
def limited(seconds):
    """Raise AssertionError when the block takes longer."""

    def stop(*_):
        raise AssertionError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("script, flags, words", CASES)
def test_bad_input_is_told(script, flags, words, files, runs, tmp_path, capsys, monkeypatch):
    if "views" not in files and script in [*READS_VIEWS, *WITH_NETWORKS]:
        pytest.skip("embreex is not installed: no picture is drawn to learn from")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SAMPLENET_DATA", str(tmp_path / "data"))
    if script.startswith("benchmarks/"):
        monkeypatch.syspath_prepend(ROOT / "benchmarks")
    run, path = call(script, runs)
    monkeypatch.setattr("sys.argv", [str(path)])
    places = {**files, "out": tmp_path / "out"}
    if script in WITH_CONFIG:
        places |= runs(Path(script).parent.name)[1]
    line, environment = command_line(script, flags)
    if "{held}" in line:
        right = [word.format_map(places) for word in RIGHT[script].split()]
        places["held"] = held(tmp_path / "held", script, runs, right)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", [str(path), *(word.format_map(places) for word in line)])
    capsys.readouterr()
    with limited(LONGEST), pytest.raises(SystemExit) as ended:
        run()
    said = capsys.readouterr().err
    if isinstance(ended.value.code, str):  # Python prints it, and the status is 1
        said += ended.value.code
    else:
        assert ended.value.code in (1, 2)
    sentence, *details = said.splitlines()
    assert re.search(f"^[a-z][^:]*: error: .*({words})", sentence), said
    assert all(detail.startswith("  ") for detail in details), said
    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    if "held" in places:
        assert left == {Path("held"), Path("held/config.yaml"), Path("held/.lock")}
    elif script.startswith("samplenet.data"):  # which makes and locks the folder to download to
        assert all(path.suffix == ".lock" or path == Path("out") for path in left)
    else:
        assert not left


@pytest.mark.parametrize("script", READS_M40)
def test_the_shell_sees_one_line_and_a_code(tmp_path, script):
    command = [sys.executable, ROOT / script, "--data-root", "nowhere", "--out", tmp_path / "out"]
    env = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        f"{Path(script).name}: error: .*nowhere is not a folder.*\n", done.stderr
    )  # no log of TensorFlow


def test_debug_shows_the_traceback(runs, monkeypatch):
    run, path = call("registration/train_pcrnet.py", runs)
    monkeypatch.setattr("sys.argv", [str(path), "--lr", "0", "--debug"])
    with pytest.raises(InputError, match="--lr must be above 0"):
        run()


def test_no_script_is_left_out():
    files = [
        f for pattern in ("*.py", "*/*.py", "common/samplenet/**/*.py") for f in ROOT.glob(pattern)
    ]
    there = {
        f.relative_to(ROOT).as_posix()
        for f in files
        if 'if __name__ == "__main__":' in f.read_text()
    }
    modules = {
        name: name.removeprefix("common/").removesuffix(".py").replace("/", ".") for name in there
    }
    names = {modules[n].removesuffix(".__main__") if n.startswith("common/") else n for n in there}
    names = {name for name in names if not name.startswith(("tests/", "docker/"))} | {
        "samplenet.console.cli"
    }
    assert set(RIGHT) <= names and names - set(RIGHT) <= run_by_smoke()


def run_by_smoke() -> set[str]:
    """List the scripts of other experiments than the paper's, which their smoke presets run."""
    experiments = reproduce.discover(ROOT)
    others = [name for name, experiment in experiments.items() if not experiment.in_all]
    flags = reproduce.arguments([*others, "--preset", "smoke"], experiments)
    plans = plan.make(others, experiments, flags, ROOT / "results")
    return {job.command[0] for part in plans for job in part.jobs.values()}
