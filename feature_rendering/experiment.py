"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "How well do views alone teach a network to predict a coloured, labelled cloud?"
FRAMEWORK = "tf"
INSTALLS = ["render"]  # the built-in pictures
DATA_SET, DATA_FLAG = "renderings of ShapeNetCore", "--views-root"
ROOT_HELP = "that of shape_and_pose and feature_rendering, beside another --data-root"
FLAGS = {"--views-root": dict(metavar="DIR", help=ROOT_HELP)}
ITEMS = "objects"
LINES, COLUMNS = "class", "network"
HUNDREDTHS = dict(scale=100, better="lower")
METRICS = {
    "chamfer": dict(title="Chamfer distance × 100", spread="chamfer_std", **HUNDREDTHS),
    "forward": dict(title="From true to nearest predicted points × 100", **HUNDREDTHS),
    "backward": dict(title="From predicted to nearest true points × 100", **HUNDREDTHS),
    "chamfer_squared": dict(title="Chamfer distance of squared distances × 100", **HUNDREDTHS),
    "emd": dict(title="Earth mover's distance × 100", spread="emd_std", **HUNDREDTHS),
    "colour_error": dict(
        title="Squared error of colours, both directions",
        digits=3,
        better="lower",
        spread="colour_error_std",
    ),
    "part_iou": dict(title="mIoU of parts, %", scale=100, better="higher", spread="part_iou_std"),
    "mask_iou": dict(
        title="IoU of silhouettes in held-out views, %",
        scale=100,
        better="higher",
        spread="mask_iou_std",
    ),
    "psnr": dict(title="PSNR of held-out views, dB", better="higher", spread="psnr_std"),
    "label_accuracy": dict(
        title="Pixels with the right label in held-out views, %",
        scale=100,
        better="higher",
        spread="label_accuracy_std",
    ),
    "chamfer_std": dict(title="Standard deviation of the Chamfer distance × 100", scale=100),
    "emd_std": dict(title="Standard deviation of the earth mover's distance × 100", scale=100),
    "colour_error_std": dict(title="Standard deviation of the error of colours", digits=3),
    "part_iou_std": dict(title="Standard deviation of the mIoU of parts, points", scale=100),
    "mask_iou_std": dict(title="Standard deviation of the IoU of silhouettes, points", scale=100),
    "psnr_std": dict(title="Standard deviation of PSNR, dB"),
    "label_accuracy_std": dict(title="Standard deviation of right labels, points", scale=100),
}
REFERENCES = ["3D supervised", "true points"]
MAIN = ["emd", "colour_error", "part_iou", "mask_iou", "psnr", "label_accuracy"]
NOTE = (
    "The Chamfer distance is the mean Euclidean distance from true points to the nearest predicted "
    "ones plus that of the reverse; the unit is the longest side of a cloud's box. The mean cloud "
    "has points of all training objects. “mean colour” and “majority label” are the points of the "
    "network with colours or parts, all in the training objects' mean colour or commonest part; "
    "“true points” are as many further points of the object itself."
)
CAVEAT = "Errors are over objects; other pictures of them would give other numbers."
FIGURES = {"clouds.png": "clouds", "clouds.html": "clouds", "views.png": "views"}
NETWORKS = {
    "mask": ["--features", "mask"],
    "rgb": ["--features", "rgb"],
    "parts": ["--features", "parts"],
    "points": ["--features", "mask", "--supervision", "points"],
}
# CAPNet's own network, width of a point and 11 epochs, which are not DIFFER's
PAPER = {"mask": ["--network", "large", "--variance", 0.5, "--epochs", 11]}
# by the setting that is changed and its value: the network that shows it, and the flags. The quick
# preset itself has a radius of 0.5; 1 is the published one
ABLATIONS = {
    "affinity-off": ("mask", ["--affinity", "off"]),
    "affinity-intended": ("mask", ["--affinity", "intended"]),
    "views-1": ("mask", ["--views-per-step", 1]),
    "views-2": ("mask", ["--views-per-step", 2]),
    "views-input": ("mask", ["--views-per-step", 1, "--views", "input"]),
    "beta-10": ("rgb", ["--beta", 10]),
    "beta-1000": ("rgb", ["--beta", 1000]),
    "radius-1": ("rgb", ["--radius", 1]),
    "radius-2": ("rgb", ["--radius", 2]),
}


def runs(plan):
    """Add a training for each feature and the 3D-supervised one, and their evaluation."""
    add_table(plan, dict.fromkeys(NETWORKS, []))


def ablation(plan):
    """Add networks with one setting changed, each with its evaluation; smoke: the first two."""
    for name in list(ABLATIONS)[:2] if plan.preset == "smoke" else ABLATIONS:
        network, changed = ABLATIONS[name]
        add_table(plan, {network: changed}, f"ablation/{name}")


EXTRAS = {"ablation-features": ablation}


def add_table(plan, changed, below=""):
    """Add trainings of networks, each with its changed flags, and their evaluation."""
    published = PAPER if plan.preset == "paper" else {}
    flags = {name: NETWORKS[name] + published.get(name, []) + changed[name] for name in changed}
    plan.add_networks("train_points.py", flags, below)
