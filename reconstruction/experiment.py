"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

from samplenet.greedy import NEAR, TABLE, VARIANTS

QUESTION = "How well does a frozen autoencoder rebuild a cloud from m of its N points?"
FRAMEWORK = "tf"
IN_ALL = True
DATA_SET, DATA_FLAG = "ShapeNetCore", "--shapenet-root"
ROOT_HELP = "that of reconstruction, beside another --data-root"
SKIP_HELP = "reconstruction: leave out clouds that cannot be used"
FLAGS = {
    "--shapenet-root": dict(metavar="DIR", help=ROOT_HELP),
    "--skip-bad": dict(action="store_true", help=SKIP_HELP),
}
ITEMS = "clouds"
LINES, COLUMNS = "m", "sampler"
METRICS = {
    "nre": dict(title="Mean NRE", better="lower", spread="nre_std"),
    "nre_median": dict(title="Median NRE", better="lower"),
    "nre_std": dict(title="Standard deviation of NRE over shapes"),
    "chamfer": dict(title="Mean Chamfer distance, 1e-4", scale=1e4, better="lower"),
    "chamfer_median": dict(title="Median Chamfer distance, 1e-4", scale=1e4, better="lower"),
    "nre_emd": dict(title="Mean NRE by earth mover's distance", better="lower"),
    "nre_emd_median": dict(title="Median NRE by earth mover's distance", better="lower"),
    "nre_emd_std": dict(title="Standard deviation of NRE by earth mover's distance over shapes"),
    "emd": dict(title="Mean earth mover's distance, thousandths", scale=1e3, better="lower"),
    "emd_median": dict(
        title="Median earth mover's distance, thousandths", scale=1e3, better="lower"
    ),
}
NOTE = (
    "NRE is the Chamfer distance of a cloud to what the autoencoder rebuilds from its sample, over "
    "that to what it rebuilds from the whole cloud: 1 is as good as all points."
)
GLANCE = 16
FIGURES = {"nre.png": "by_ratio", "gallery.png": "gallery", "histogram.png": "nre_histogram"}
BASELINES = ["random", "fps", *TABLE]
SIZES = {
    "smoke": [8],
    "quick": [32, 16],
    "full": [32, 16],
    "paper": [1024, 512, 256, 128, 64, 32, 16],
}
PROGRESSIVE_SIZES = {
    "smoke": [4, 8],
    "quick": [16, 32, 64, 128],
    "full": [16, 32, 64, 128],
    "paper": [16, 32, 64, 128, 256, 512, 1024, 2048],
}


def runs(plan):
    """Add the runs of the table of samplers."""
    task = add_autoencoder(plan)
    plan.add_sampling(task, BASELINES, SIZES[plan.preset], PROGRESSIVE_SIZES[plan.preset])


def ablation(plan):
    """Score greedy samplers with other pools and other settings."""
    task = add_autoencoder(plan)
    plan.add_scores(task, "evaluation", BASELINES, runs=".")
    sizes = plan.fitting(SIZES[plan.preset])
    asked = dict(runs=".", flags=["--near", *NEAR])
    plan.add_scores(task, "ablation/greedy/evaluation", VARIANTS, sizes=sizes, **asked)


EXTRAS = {"ablation-reconstruction": ablation}


def add_autoencoder(plan):
    """Add the training of the task network."""
    flags = ["--skip-bad"] if plan.flags.skip_bad else []
    return plan.add_task("train_autoencoder.py", "autoencoder", flags)
