"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

from pathlib import Path

QUESTION = "Does a point network that learned from pictures without labels need fewer labels?"
FRAMEWORK = "torch"
INSTALLS = ["render", "probe"]
DATA_SET = "ModelNet40"
ITEMS = "items"
REFERENCES = ["supervised"]
LINES, COLUMNS = "task", "start"
SHARE = dict(scale=100, digits=1, better="higher")  # shown in percent
METRICS = {
    "accuracy": dict(title="Classification: accuracy, %", spread="share", **SHARE),
    "accuracy_class_mean": dict(title="Classification: accuracy, mean over classes, %", **SHARE),
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
    "miou_majority": dict(
        title="Scenes: IoU if every point were of the commonest class, %", scale=100, digits=1
    ),
    "miou_voxels": dict(title="Scenes, voxels: IoU, mean over classes, %", **SHARE),
    "voxel_accuracy": dict(title="Scenes, voxels: of the right class, %", **SHARE),
    "voxel_accuracy_class_mean": dict(
        title="Scenes, voxels: mean of the classes' shares of right ones, %", **SHARE
    ),
    "map_25": dict(title="Detection: mean average precision at an IoU of 0.25, %", **SHARE),
    "map_50": dict(title="Detection: mean average precision at an IoU of 0.5, %", **SHARE),
    "accuracy_fps": dict(title="The same classifier on as many farthest points, %", **SHARE),
    "accuracy_whole": dict(title="The same classifier on all points, %", **SHARE),
    "restored": dict(title="Share of the weights from the start's run, %", scale=100, digits=1),
}
MAIN = ["miou_instance", "miou_scenes", "map_25"]
FIGURES = {
    "labels.png": "by_labels",
    "scenes.png": "classified",
    "scenes.html": "classified",
    "rooms.png": "detected",
    "rooms.html": "detected",
}
BACKBONES = ("pointnet", "dgcnn")
FLAGS = {
    "--pairs-root": dict(metavar="DIR", help="pictures and pixel-point pairs to pre-train on"),
    "--scanobjectnn-root": dict(metavar="DIR", help="ScanObjectNN's h5_files: further tasks"),
    "--parts-root": dict(metavar="DIR", help="ShapeNetPart in HDF5; default: built-in shapes"),
    "--rooms-root": dict(
        metavar="DIR", help="S3DIS rooms or blocks, or ScanNet; default: generated rooms"
    ),
    "--frames-root": dict(
        metavar="DIR", help="RGB-D scenes that `scenes` learns from; default: generated rooms"
    ),
    "--boxes-root": dict(
        metavar="DIR", help="detection: VoteNet's sunrgbd or scannet; default: generated rooms"
    ),
    "--backbones": dict(
        nargs="+", choices=BACKBONES, help="networks to pre-train: pointnet (default), dgcnn"
    ),
    "--grid": dict(
        action="store_true",
        help="each loss alone and supervised starts, more numbers of labels and seeds, and scenes",
    ),
    "--sampler": dict(
        action="store_true",
        help="also a sampler in front of a classifier of few labels, pre-trained or not",
    ),
}
LOSSES = {"both": ["point", "global"], "point": ["point"], "global": ["global"]}
ALL = 0  # labels
SAMPLE = 16  # points
LABELS = {"smoke": [1], "quick": [10], "paper": [ALL]}  # of a class
GRID = {"smoke": [1, 2], "quick": [5, 10, 20, 50, ALL], "paper": [10, 20, 50, ALL]}
SEEDS = {"smoke": [0], "quick": [0, 1, 2], "paper": [0, 1, 2]}
ALL_EPOCHS = {"smoke": 1, "quick": 12}  # the presets' own are for few labels
SCANS = ("scanobjectnn_object_only", "scanobjectnn_with_background")
# published for DGCNN; the shorter presets train both networks alike
DGCNN = ["--optimizer", "sgd", "--lr", 0.1, "--lr-schedule", "cosine", "--label-smoothing", 0.2]
DGCNN_OWN = {"classifier": ["--augmentation", "scale"], "scenes": ["--batch-size", 32]}
VIEWED = {"smoke": 1, "quick": 30, "paper": 1000}  # generated rooms to pre-train SR-UNet on
VIEWS = {
    "smoke": ["--num-views", 2, "--batch-size", 8],
    "quick": ["--num-views", 2, "--image-size", 64, "--num-points", 4096],
    "paper": ["--num-views", 2, "--image-size", 64, "--num-points", 8192],
}
# smaller batches, as pairs of views are few; the preset's 30 epochs are for objects
OF_VIEWS = {"quick": ["--batch-size", 8, "--epochs", 15]}
WHOLE_ROOMS = {
    "smoke": ["--lr", 0.1, "--batch-size", 2],
    "quick": ["--lr", 0.1, "--batch-size", 4, "--epochs", 15, "--room-points", 40_000],
    # published: 20,000 steps; S3DIS has 204 rooms outside of Area 5, ScanNet 1201 scans
    "paper": ["--lr", 0.1, "--batch-size", 18, "--epochs", 1818],
}
LABELLED = {  # the rooms that are viewed, but for a whole batch; as many steps as published
    "smoke": ["--rooms", 2],
    "quick": ["--rooms", VIEWED["quick"]],
    "paper": ["--rooms", VIEWED["paper"], "--epochs", 360],
}
SCANNET = ["--lr", 0.8, "--batch-size", 12, "--epochs", 200, "--voxel-size", 0.02]
SRUNET_DETECTOR = {  # besides the preset, which is of PointNet++
    "smoke": [],
    "quick": ["--epochs", 20],  # for which there is time
    "paper": ["--batch-size", 64, "--voxel-size", 0.025],  # published for SUN RGB-D
}
SCANS_DECAY = ["--lr-decay-samples", 46_180]  # 20 epochs of the 2309 scans, for PointNet
DATA_NAMES = {
    "data_root": "ModelNet40",
    "pairs_root": "ModelNet40's pictures",
    "parts_root": "ShapeNetPart",
    "rooms_root": "S3DIS",
    "scanobjectnn_root": "ScanObjectNN",
}


def runs(plan):
    """Add the image network, the pre-training of point networks from it, and what comes of them."""
    grid, scored = plan.flags.grid, []
    images = add_pretraining(plan, "train_images.py", "images")
    backbones = dict.fromkeys(plan.flags.backbones or BACKBONES[:1])
    for backbone in backbones:
        starts = {"random": None}
        for start in LOSSES if grid else list(LOSSES)[:1]:
            flags = ["--images", plan.path(images), "--backbone", backbone, "--losses"]
            flags, folder = [*flags, *LOSSES[start]], f"{backbone}/{start}"
            starts[start] = add_pretraining(plan, "train_points.py", folder, flags, [images])
        if grid:
            starts["supervised"] = add_classifier(plan, backbone, "random", None, ALL, 0)
            scored.append(starts["supervised"])
        for start, run in starts.items():
            scored += add_tasks(plan, backbone, start, run)
        if backbone == "pointnet" and plan.flags.sampler:
            scored += add_samplers(plan, images)
    folders = [plan.path(f"{plan.base}/{name}") for name in backbones]
    flags = ["--runs", *folders, *data_name(plan)]
    needs = [*dict.fromkeys(scored)]
    plan.add("evaluate.py", "evaluation", flags, data=False, needs=needs, output="results.json")


def scenes(plan):
    """Add SR-UNet, pre-trained from views of rooms or not, for the classes of whole rooms."""
    root, grid, scored = plan.flags.rooms_root, plan.flags.grid, []
    starts = {"random": None}
    for start in LOSSES if grid else list(LOSSES)[:1]:
        starts[start] = add_room_pretraining(plan, start)
    if grid and not root and not plan.flags.frames_root:  # the labels of the rooms in the views
        flags = ["--backbone", "srunet", *room_flags(plan), *LABELLED[plan.preset]]
        starts["supervised"] = add_scenes(plan, "srunet/supervised", flags)
    for start, run in starts.items():
        own, needs = started(plan, "srunet", run)
        for seed in SEEDS[plan.preset]:
            flags = [*own, *room_flags(plan), "--seed", seed]
            scored.append(add_scenes(plan, f"scenes/srunet-{start}-seed{seed}", flags, needs))
    data = "generated rooms" if root is None else "ScanNet" if is_scannet(root) else "S3DIS"
    data += ", pre-trained on RGB-D frames" if plan.flags.frames_root else ""
    flags = ["--runs", plan.path(f"{plan.base}/scenes"), "--data", data]
    output = dict(needs=scored, output="results.json", data=False)
    plan.add("evaluate.py", "evaluation-scenes", flags, **output)


def room_flags(plan):
    """Return the flags of SR-UNet's training on whole rooms."""
    root = plan.flags.rooms_root
    published = SCANNET if plan.preset == "paper" and is_scannet(root) else WHOLE_ROOMS[plan.preset]
    flags = ["--augmentation", "scene", "--optimizer", "sgd", "--lr-schedule", "poly", *published]
    return [*flags, "--data-root", root] if root else flags


def add_scenes(plan, folder, flags, needs=()):
    """Add the training of a network for whole rooms."""
    output = dict(needs=needs, output="last.safetensors", resume=True, data=False)
    return plan.add("train_scenes.py", folder, flags, **output)


def detection(plan):
    """Add detectors on PointNet++ and SR-UNet, on the latter also pre-trained, and their table."""
    names, both = [], add_room_pretraining(plan)
    for seed in SEEDS[plan.preset] if plan.flags.grid else [0]:
        names.append(add_detector(plan, "pointnet2", "random", None, seed))
        for start, run in {"random": None, "both": both}.items():
            names.append(add_detector(plan, "srunet", start, run, seed))
    root = plan.flags.boxes_root
    data = Path(root).name if root else "generated rooms"
    flags = ["--runs", plan.path(f"{plan.base}/detection"), "--data", data]
    fields = dict(data=False, needs=names, output="results.json")
    plan.add("evaluate.py", "evaluation-detection", flags, **fields)


EXTRAS = {"scenes": scenes, "detection": detection}


def data_name(plan):
    """Return the flag that names the planned runs' data in the tables, unless all are built in."""
    flags, words = vars(plan.flags), {word for job in plan.jobs.values() for word in job.command}
    names = [name for root, name in DATA_NAMES.items() if flags[root] in words]
    if "S3DIS" in names and is_scannet(flags["rooms_root"]):
        names[names.index("S3DIS")] = "ScanNet"
    if not names:
        return []
    built_in = [] if flags["pairs_root"] and flags["parts_root"] else ["built-in shapes"]
    return ["--data", ", ".join(names + built_in)]


def is_scannet(root):
    """Return whether a folder of rooms is in ScanNet's layout."""
    return bool(root) and Path(root, "scannetv2_train.txt").is_file()


def add_tasks(plan, backbone, start, run):
    """Add all that a network is judged by which starts from `run`; return the names."""
    grid, names = plan.flags.grid, [add_probe(plan, backbone, start, run)]
    if start == "random":  # what its features are worth before batch norms know the clouds
        names.append(add_probe(plan, backbone, "initial"))
    labels = (GRID if grid else LABELS)[plan.preset]
    for seed in SEEDS[plan.preset]:
        for count in labels:
            if count:
                names.append(add_probe(plan, backbone, start, run, count, seed))
            if count or start != "supervised":
                names.append(add_classifier(plan, backbone, start, run, count, seed))
        if grid or seed == 0:
            names.append(add_segmentation(plan, "parts", backbone, start, run, seed))
        if grid:
            names.append(add_segmentation(plan, "scenes", backbone, start, run, seed))
        if plan.flags.scanobjectnn_root:
            for data_set in SCANS:
                names.append(add_classifier(plan, backbone, start, run, ALL, seed, data_set))
    return names


def add_samplers(plan, images):
    """Add samplers whose trunk, and whose classifier, start at random or from pre-training."""
    count, names = min(filter(None, [*LABELS[plan.preset], 10])), []
    plain = ["--images", plan.path(images), "--no-transforms", "--losses", *LOSSES["both"]]
    both = add_pretraining(plan, "train_points.py", "pointnet/plain-both", plain, [images])
    for start, run in {"random": None, "both": both}.items():
        for seed in SEEDS[plan.preset]:
            flags = ["--no-transforms", "--labels-per-class", count, "--seed", seed]
            own, needs = started(plan, "pointnet", run)
            folder = f"pointnet/plain-classifier-{start}-seed{seed}"
            task = plan.add_training("train_classifier.py", folder, [*own, *flags], needs)
            names.append(task)
            for trunk, trunk_run in {"random": None, "both": both}.items():
                flags = ["--task", plan.path(task), "--sample-sizes", SAMPLE, "--seed", seed]
                flags += ["--pretrained", plan.path(trunk_run)] if trunk_run else []
                folder = f"pointnet/sampler-{trunk}-for-{start}-seed{seed}"
                needs = [task, trunk_run] if trunk_run else [task]
                names.append(plan.add_training("train_samplenet.py", folder, flags, needs))
    return names


def add_detector(plan, backbone, start, pretrained, seed):
    """Add the training of a detector."""
    flags, needs = started(plan, backbone, pretrained)
    flags += ["--data-root", plan.flags.boxes_root] if plan.flags.boxes_root else []
    flags += SRUNET_DETECTOR[plan.preset] if backbone == "srunet" else []
    folder = f"detection/{backbone}-{start}-seed{seed}"
    fields = dict(needs=needs, output="last.safetensors", resume=True, data=False)
    return plan.add("train_detector.py", folder, [*flags, "--seed", seed], **fields)


def add_pretraining(plan, script, folder, flags=(), needs=()):
    """Add a training from pictures; its data are not those of --data-root."""
    if plan.flags.pairs_root:
        flags = [*flags, "--pairs-root", plan.flags.pairs_root]
    output = dict(needs=needs, output="last.safetensors", resume=True)
    return plan.add(script, folder, flags, data=False, **output)


def add_room_pretraining(plan, start="both"):
    """Add the pre-training of SR-UNet from views of rooms, after that of the image network."""
    frames = plan.flags.frames_root
    views = ["--frames-root", frames] if frames else ["--rooms", VIEWED[plan.preset]]
    views += VIEWS[plan.preset]
    output = dict(output="last.safetensors", resume=True, data=False)
    one = ["--views", 1]  # of the two of a pair, on either side
    images = plan.add("train_images.py", "images-rooms", [*views, *one], **output)
    flags = [*views, *OF_VIEWS.get(plan.preset, [])]
    flags += ["--backbone", "srunet", "--augmentation", "scene"]
    flags += ["--images", plan.path(images), "--losses", *LOSSES[start]]
    return plan.add("train_points.py", f"srunet/{start}", flags, needs=[images], **output)


def add_probe(plan, backbone, start, pretrained=None, count=ALL, seed=0):
    """Add a linear SVM on the features of a pre-trained network, or of random weights."""
    flags, needs = started(plan, backbone, pretrained)
    folder = f"{backbone}/probe-{count or 'all'}-{start}-seed{seed}"
    flags += ["--seed", seed, *(["--labels-per-class", count] if count else [])]
    flags += ["--no-settle"] if start == "initial" else []
    return plan.add("linear_probe.py", folder, flags, needs=needs, output="scores.json")


def add_classifier(plan, backbone, start, pretrained, count, seed, data_set=""):
    """Add the training of a classifier with `count` labels of a class, or with all."""
    flags, needs = started(plan, backbone, pretrained)
    if count:
        flags += ["--labels-per-class", count]
    elif plan.preset in ALL_EPOCHS:
        flags += ["--epochs", ALL_EPOCHS[plan.preset]]
    if data_set:
        flags += ["--data-set", data_set, "--data-root", plan.flags.scanobjectnn_root]
        flags += SCANS_DECAY if plan.preset == "paper" and backbone == "pointnet" else []
    words = [data_set or "classifier", count or "all", start, f"seed{seed}"]
    folder = f"{backbone}/{'-'.join(map(str, words))}"
    flags = [*flags, *published(plan, backbone, "classifier"), "--seed", seed]
    fields = dict(needs=needs, output="last.safetensors", resume=True, data=not data_set)
    return plan.add("train_classifier.py", folder, flags, **fields)


def add_segmentation(plan, task, backbone, start, pretrained, seed):
    """Add the training of a network for the points of "parts" or "scenes"."""
    flags, needs = started(plan, backbone, pretrained)
    root = plan.flags.parts_root if task == "parts" else plan.flags.rooms_root
    if root:
        flags += ["--data-root", root]
    folder = f"{backbone}/{task}-{start}-seed{seed}"
    flags = [*flags, *published(plan, backbone, task), "--seed", seed]
    fields = dict(needs=needs, output="last.safetensors", resume=True, data=False)
    return plan.add(f"train_{task}.py", folder, flags, **fields)


def started(plan, backbone, pretrained):
    """Return flags for a network that starts from a run, or at random, and the runs it needs."""
    flags = ["--backbone", backbone]
    if pretrained is None:
        return flags, []
    return [*flags, "--pretrained", plan.path(pretrained)], [pretrained]


def published(plan, backbone, task):
    """Return the flags of a task's published training, if the preset has published settings."""
    if plan.preset != "paper":
        return []
    return [*DGCNN, *DGCNN_OWN.get(task, [])] if backbone == "dgcnn" else []
