"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "How well are shape and camera found from a picture, if only silhouettes teach them?"
FRAMEWORK = "tf"
INSTALLS = ["render"]  # the built-in pictures
DATA_SET, DATA_FLAG = "renderings of ShapeNetCore", "--views-root"
ROOT_HELP = "that of shape_and_pose and feature_rendering, beside another --data-root"
# the published candidates and weight of the student are the defaults of the settings
NETWORKS = {
    # distances are so small beside the silhouettes' sums over pixels that the decay would be all
    "points": ["--supervision", "points", "--weight-decay", 0],
    "camera": ["--supervision", "camera"],
    "unsupervised": ["--supervision", "none"],
}
# By preset, the flags of a network besides the preset's file. Silhouettes alone need longer. At the
# high learning rate of quick, a few gradients 10 to 40 times as large as the others ended a run.
OWN_FLAGS = {"quick": {"unsupervised": ["--epochs", 200, "--clip-norm", 50]}}
KINDS = dict(nargs="+", choices=[*NETWORKS], help="shape_and_pose: networks to train (all)")
FLAGS = {"--views-root": dict(metavar="DIR", help=ROOT_HELP), "--supervision": KINDS}
ITEMS = "models"
LINES, COLUMNS = "class", "network"
METRICS = {
    "chamfer": dict(
        title="Chamfer distance × 100", scale=100, better="lower", spread="chamfer_std"
    ),
    "precision": dict(
        title="Precision × 100: from a predicted point to the truth", scale=100, better="lower"
    ),
    "coverage": dict(
        title="Coverage × 100: from a true point to the prediction", scale=100, better="lower"
    ),
    "chamfer_std": dict(title="Standard deviation of Chamfer × 100 over models", scale=100),
    "pose_accuracy": dict(
        title="Poses with an error under 30°, %",
        scale=100,
        digits=1,
        better="higher",
        spread="pose_accuracy_std",
    ),
    "pose_median_deg": dict(title="Median error of the pose, degrees", digits=1, better="lower"),
    "pose_success": dict(
        title="Trainings that get at least 60 % of the poses right by 30°, %", scale=100, digits=0
    ),
    "pose_accuracy_std": dict(
        title="Standard deviation of a model's share of such poses, %", scale=100, digits=1
    ),
}
MAIN = ["pose_accuracy", "pose_median_deg"]
REFERENCES = ["3D supervised"]
NOTE = (
    "Chamfer is the mean distance from a predicted point to the nearest true one (precision), plus "
    "that from a true point to the nearest predicted one (coverage), not squared, where the "
    "diagonal of a model's box is 1; a mean over a model's pictures, then over models. A network "
    "sees one picture; without supervision its frame is found on validation models. The mean cloud "
    "is drawn from all training clouds together; the nearest silhouette predicts the true "
    "cloud and camera of a training picture."
)
CAVEAT = "Unsupervised networks of different seeds can differ by far more: some fail."
FIGURES = {
    "clouds.png": "clouds",
    "silhouettes.png": "silhouettes",
    "poses.png": "poses",
    "pose_errors.png": "pose_errors",
    "chamfer.png": "chamfer",
    "forming.png": "forming",
    "learning.png": "learning",
}


# of the unsupervised network, whose candidates are 4
ABLATIONS = {
    "candidates-1": ["--candidates", 1],
    "candidates-2": ["--candidates", 2],
    "no-student": ["--no-student"],
    "no-dropout": ["--keep", 1],
    "fixed-sigma": ["--sigma", 1, "--sigma-end", 1],
    "no-scale": ["--no-learn-scale"],
}


def runs(plan):
    """Add a training for each kind of supervision, and their evaluation."""
    chosen = plan.flags.supervision or NETWORKS
    plan.add_networks("train_shapes.py", {name: flags(plan, name) for name in chosen})


def ablation(plan):
    """Add unsupervised networks with one setting changed, each with its evaluation."""
    for name, changed in ABLATIONS.items():
        network = {"unsupervised": [*flags(plan, "unsupervised"), *changed]}
        plan.add_networks("train_shapes.py", network, f"ablation/{name}")


def flags(plan, name):
    """Return the flags that train a network."""
    return [*NETWORKS[name], *OWN_FLAGS.get(plan.preset, {}).get(name, [])]


EXTRAS = {"ablation-shape": ablation}
