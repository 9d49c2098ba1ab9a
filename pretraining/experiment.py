"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

QUESTION = "Does a point network that learned from pictures without labels need fewer labels?"
FRAMEWORK = "torch"
INSTALLS = ["render", "probe"]
DATA_SET = "ModelNet40"
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
BACKBONES = ("pointnet", "dgcnn")
FLAGS = {
    "--pairs-root": dict(metavar="DIR", help="pictures and pixel-point pairs to pre-train on"),
    "--backbones": dict(
        nargs="+", choices=BACKBONES, help="networks to pre-train: pointnet (default), dgcnn"
    ),
    "--grid": dict(action="store_true", help="pre-training with each loss alone, too"),
}
LOSSES = {"both": ["point", "global"], "point": ["point"], "global": ["global"]}


def runs(plan):
    """Add the image network, the pre-training of point networks from it, and what comes of them."""
    images = add_pretraining(plan, "train_images.py", "images")
    for backbone in plan.flags.backbones or BACKBONES[:1]:
        add_probe(plan, backbone)
        for start in LOSSES if plan.flags.grid else list(LOSSES)[:1]:
            add_probe(plan, backbone, start, add_points(plan, images, backbone, start))


def add_points(plan, images, backbone, start):
    """Add the pre-training of a point network by the losses that `start` names."""
    flags = ["--images", plan.path(images), "--backbone", backbone, "--losses", *LOSSES[start]]
    return add_pretraining(plan, "train_points.py", f"{backbone}/{start}", flags, [images])


def add_pretraining(plan, script, folder, flags=(), needs=()):
    """Add a training from pictures; its data are not those of --data-root."""
    if plan.flags.pairs_root:
        flags = [*flags, "--pairs-root", plan.flags.pairs_root]
    output = dict(needs=needs, output="last.safetensors", resume=True)
    return plan.add(script, folder, flags, data=False, **output)


def add_probe(plan, backbone, start="random", pretrained=None):
    """Add a linear SVM on the features of a pre-trained network, or of random weights."""
    flags, needs = ["--backbone", backbone], []
    if pretrained:
        flags, needs = [*flags, "--pretrained", plan.path(pretrained)], [pretrained]
    folder = f"{backbone}/probe-{start}"
    return plan.add("linear_probe.py", folder, flags, needs=needs, output="scores.json")
