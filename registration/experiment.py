"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

import functools
import subprocess
import sys

from samplenet.greedy import NEAR, TABLE, VARIANTS

QUESTION = (
    "How far is a frozen registration network off when it sees only m points of each of two clouds?"
)
FRAMEWORK = "torch"
IN_ALL = True
DATA_SET = "ModelNet40"
ITEMS = "pairs"
LINES, COLUMNS = "m", "sampler"
SHARE = dict(scale=100, digits=1, better="higher")  # shown in percent
METRICS = {
    "rotation_error_deg": dict(
        title="Mean rotation error, degrees", better="lower", spread="rotation_error_std_deg"
    ),
    "rotation_error_median_deg": dict(title="Median rotation error, degrees", better="lower"),
    "rotation_error_std_deg": dict(
        title="Standard deviation of the rotation error over pairs, degrees"
    ),
    "share_under_5_deg": dict(title="Pairs with an error under 5 degrees, %", **SHARE),
    "share_under_10_deg": dict(title="Pairs with an error under 10 degrees, %", **SHARE),
    "auc": dict(
        title="Area under the precision curve (share of pairs under an error, 0 to 180 degrees), "
        "at best 1",
        digits=3,
        better="higher",
    ),
    "sampling_consistency": dict(
        title="Sampling consistency, thousandths: squared Chamfer distance between the template's "
        "sample and the source's turned back; 0 is the same points",
        scale=1000,
        better="lower",
    ),
    "translation_error": dict(
        title="Mean translation error, in lengths of the template's longest side",
        digits=4,
        better="lower",
    ),
    "rotation_error_paper_deg": dict(
        title="Mean rotation error in the paper's convention, degrees: twice the geodesic angle. "
        "Only these and the next compare with published numbers",
        better="lower",
        spread="rotation_error_std_deg",
        spread_factor=2,
    ),
    "auc_paper": dict(
        title="Area under the precision curve of the doubled angle, the paper's convention",
        digits=3,
        better="higher",
    ),
}
NOTE = "An error is the geodesic angle between the estimated and the true rotation."
CAVEAT = (
    "That takes pairs as independent, which those of one shape are not: true errors may be larger."
)
GLANCE = 16
FIGURES = {
    "rotation_error.png": "by_ratio",
    "precision.png": "precision_curves",
    "pairs.png": "pairs",
    "pair.html": "pairs",
}
BASELINES = ["random", "fps", "fps_same_start", *TABLE]
SIZES = {"smoke": [8], "quick": [32, 16], "full": [32, 16], "paper": [512, 256, 128, 64, 32, 16, 8]}
PROGRESSIVE_SIZES = {
    "smoke": [4, 8],
    "quick": [16, 32, 64, 128],
    "full": [16, 32, 64, 128],
    "paper": [8, 16, 32, 64, 128, 256, 512],
}


def runs(plan):
    """Add the runs of the table of samplers, with ICP if Open3D is installed."""
    plan.add_sampling(
        plan.add_task("train_pcrnet.py", "pcrnet"),
        BASELINES,
        SIZES[plan.preset],
        PROGRESSIVE_SIZES[plan.preset],
        whole=whole(),
    )


def ablation(plan):
    """Score greedy samplers with other pools and other settings."""
    task = plan.add_task("train_pcrnet.py", "pcrnet")
    plan.add_scores(task, "evaluation", [*BASELINES, *whole()], runs=".")
    sizes = plan.fitting(SIZES[plan.preset])
    asked = dict(runs=".", flags=["--near", *NEAR])
    plan.add_scores(task, "ablation/greedy/evaluation", VARIANTS, sizes=sizes, **asked)


EXTRAS = {"ablation-registration": ablation}


def whole():
    """Return the methods that see all points: ICP, if Open3D is installed."""
    return ["icp"] if has_open3d() else []


@functools.cache
def has_open3d():
    """Return whether Open3D can be imported: it may be installed and lack a system library."""
    command = [sys.executable, "-c", "import open3d"]
    return subprocess.run(command, capture_output=True).returncode == 0
