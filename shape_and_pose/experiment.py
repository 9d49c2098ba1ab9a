"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "How well are shape and camera found from a picture, if only silhouettes teach them?"
FRAMEWORK = "tf"
INSTALLS = ["render"]
IN_ALL = False
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
    "pose_accuracy_std": dict(
        title="Standard deviation of a model's share of such poses, %", scale=100, digits=1
    ),
}
MAIN = ["pose_accuracy", "pose_median_deg"]
NOTE = (
    "Chamfer is the mean distance from a predicted point to the nearest true one (precision), plus "
    "that from a true point to the nearest predicted one (coverage), not squared, where the "
    "diagonal of a model's box is 1; a mean over a model's pictures, then over models. A network "
    "sees one picture; without supervision its frame is found on validation models. The mean cloud "
    "is drawn from all training clouds together; the nearest silhouette answers with the true "
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


def runs(plan):
    """Add the trainings."""
