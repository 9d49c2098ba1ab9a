"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "Does a point network that learned from pictures without labels need fewer labels?"
FRAMEWORK = "torch"
ITEMS = "clouds"
LINES, COLUMNS = "task", "start"
SHARE = dict(scale=100, digits=1, better="higher")  # shown in percent
METRICS = {"accuracy": dict(title="Accuracy, %", spread="share", **SHARE)}
PAIRS, PROBED = ["--pairs-root"], []


def runs(plan):
    """Add the pre-training."""
