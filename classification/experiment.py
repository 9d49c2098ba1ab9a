"""What this experiment asks, runs and shows; read by reproduce.sh, the page of results, the images and the tests."""

QUESTION = "How often is a frozen classifier right when it sees only m of a cloud's N points?"
FRAMEWORK = "tf"
IN_ALL = True
ITEMS = "clouds"
LINES, COLUMNS = "m", "sampler"
METRICS = {
    "accuracy": dict(title="Accuracy, %", scale=100, digits=1, better="higher", spread="share"),
    "accuracy_class_mean": dict(title="Mean of the classes' accuracies, %", scale=100, digits=1, better="higher"),
    "map_macro": dict(title="Retrieval: mAP, mean over classes, %", scale=100, digits=1, better="higher"),
    "map_micro": dict(title="Retrieval: mAP, mean over queries, %", scale=100, digits=1, better="higher"),
    "map_paper": dict(
        title="Retrieval: mAP as the predecessor counts it, the query in its own gallery at rank 1, mean over "
        "queries, %",
        scale=100,
        digits=1,
        better="higher",
    ),
}


def runs(plan):
    """Add the runs of a preset."""
    raise NotImplementedError
