"""What this experiment asks, runs and shows; read by reproduce.sh, the page of results, the images and the tests."""

QUESTION = (
    "How well does a frozen autoencoder rebuild a cloud from m of its N points? NRE is the error over that from all "
    "points: 1 is as good as all."
)
FRAMEWORK = "tf"
IN_ALL = True
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
    "emd_median": dict(title="Median earth mover's distance, thousandths", scale=1e3, better="lower"),
}


def runs(plan):
    """Add the runs of a preset."""
    raise NotImplementedError
