"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "How well are shape and camera found from a picture, if only silhouettes teach them?"
FRAMEWORK = "tf"
IN_ALL = False
ITEMS = "models"
LINES, COLUMNS = "class", "network"
METRICS = {"chamfer": dict(title="Chamfer distance, x 100", scale=100, better="lower")}


def runs(plan):
    """Add the trainings."""
