"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "Does a point network that learned from pictures without labels need fewer labels?"
FRAMEWORK = "torch"
ITEMS = "items"
LINES, COLUMNS = "task", "start"
SHARE = dict(scale=100, digits=1, better="higher")  # shown in percent
METRICS = {
    "accuracy": dict(title="Classification: accuracy, %", spread="share", **SHARE),
    "accuracy_class_mean": dict(
        title="Classification: mean of the classes' accuracies, %", **SHARE
    ),
    "miou_instance": dict(
        title="Parts: IoU, mean over clouds, %", spread="miou_instance_std", **SHARE
    ),
    "miou_category": dict(title="Parts: IoU, mean over categories, %", **SHARE),
    "miou_instance_std": dict(
        title="Parts: standard deviation of the IoU over clouds, %", scale=100, digits=1
    ),
    "miou_scenes": dict(title="Scenes: IoU, mean over classes, %", **SHARE),
    "point_accuracy": dict(title="Parts and scenes: points of the right class, %", **SHARE),
    "point_accuracy_class_mean": dict(
        title="Scenes: mean of the classes' shares of right points, %", **SHARE
    ),
    "restored": dict(
        title="Share of the weights that are from the start's run, %", scale=100, digits=1
    ),
}
MAIN = ["miou_instance", "miou_scenes"]
FIGURES = {"labels.png": "by_labels"}
PAIRS, PROBED = ["--pairs-root"], []


def runs(plan):
    """Add the pre-training."""
