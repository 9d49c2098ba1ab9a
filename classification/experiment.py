"""What this experiment asks, runs and shows: all that reproduce.sh, page and tests know of it."""

from pathlib import Path

from samplenet.greedy import NEAR, TABLE, VARIANTS

QUESTION = "How often is a frozen classifier right when it sees only m of a cloud's N points?"
FRAMEWORK = "tf"
IN_ALL = True
DATA_SET = "ModelNet40"
ITEMS = "clouds"
LINES, COLUMNS = "m", "sampler"
SHARE = dict(scale=100, digits=1, better="higher")  # shown in percent
METRICS = {
    "accuracy": dict(title="Accuracy, %", spread="share", **SHARE),
    "accuracy_class_mean": dict(title="Mean of the classes' accuracies, %", **SHARE),
    "map_macro": dict(title="Retrieval: mAP, mean over classes, %", **SHARE),
    "map_micro": dict(title="Retrieval: mAP, mean over queries, %", **SHARE),
    "map_paper": dict(
        title="Retrieval: mAP as the predecessor counts it, the query in its own gallery at rank "
        "1, mean over queries, %",
        **SHARE,
    ),
}
FIGURES = {
    "accuracy.png": "by_ratio",
    "gallery.png": "gallery",
    "retrieval.png": "precision_curves",
}
GLANCE = 32
FURTHER = {"retrieval": "map_macro", "cost": "", "ablations": ""}
COST = {
    "networks": {"pointnet": "PointNet with T-Nets", "vanilla": "vanilla PointNet"},
    "claim": {
        "source": "the paper, as quoted, unverified",
        "ratio": "32",
        "parameters": "“memory” +6 %",
        "macs": "−90 %",
        "note": "The paper's claim is as a later book quotes it, unverified; what it calls memory "
        "is taken to be the parameters.",
    },
}
MODELS = ("pointnet", "vanilla")  # besides the user's own
MODEL_HELP = "classifier: pointnet, vanilla, or your own as FILE.py:CLASS"
FLAGS = {"--model": dict(metavar="NAME", help=MODEL_HELP)}
PAIR = ["snet", "samplenet"]
PROGRESSIVE = ["progressivenet", "samplenet_progressive"]
ALL = [*PAIR, *PROGRESSIVE]
DEFAULT = {
    "smoke": (PAIR, [8]),
    "quick": (PAIR, [32]),
    "full": (None, None),
    "paper": (PAIR, None),
}

SIZES = {
    "smoke": [8],
    "quick": [32, 16],
    "full": [32, 16, 8],
    "paper": [512, 256, 128, 64, 32, 16, 8],
}
PROGRESSIVE_SIZES = {
    "smoke": [4, 8],
    "quick": [8, 16, 32, 64, 128],
    "full": [8, 16, 32, 64, 128],
    "paper": [2**i for i in range(1, 11)],
}
# presets with a second classifier: the samplers for the preset's own, "", and for the other one;
# the progressive samplers of the paper are those of the vanilla PointNet
TABLES = {"full": {"": ALL, "pointnet": PAIR}, "paper": {"": PAIR, "vanilla": PROGRESSIVE}}
ABLATION_SIZE = {"smoke": 8, "quick": 32, "full": 32, "paper": 32}
# one setting of SampleNet changed at a time; the smoke preset runs the first two
ABLATIONS = {
    "k-2": ["--k", 2],
    "lambda-0": ["--lmbda", 0],
    "k-4": ["--k", 4],
    "k-16": ["--k", 16],
    "lambda-0.1": ["--lmbda", 0.1],
    "lambda-10": ["--lmbda", 10],
}


def check(flags):
    """Refuse flags that make no sense; make the path of the user's own classifier absolute."""
    if flags.experiments == ["ablation"] and (flags.sizes or flags.samplers):
        raise ValueError(
            "the ablation has its own size and samplers; leave --sizes and --samplers out"
        )
    if not flags.model:
        return
    if "ablation" in flags.experiments:
        raise ValueError("the ablation has its own two networks; leave --model out")
    file, _, name = flags.model.rpartition(":")
    if file and name:
        if not Path(file).is_file():
            raise ValueError(f"--model: there is no file {file}")
        flags.model = f"{Path(file).resolve()}:{name}"
    elif flags.model not in MODELS:
        raise ValueError(
            f"--model must be {', '.join(MODELS)} or FILE.py:CLASS, got '{flags.model}'"
        )


def variant(flags):
    """Return the name of the classifier that --model chooses, for the results folder."""
    return (flags.model or "").rpartition(":")[2]


def runs(plan):
    """Add a table for each classifier, and the measurement of costs for the preset's."""
    preset, one = plan.preset, {"": ALL}
    tables = one if plan.flags.model else TABLES.get(preset, one)
    samplers = {}  # by classifier
    for model, kinds in tables.items():
        if model and not {*kinds} & {*plan.flags.samplers}:
            continue  # no second classifier is trained for baselines alone
        samplers[model] = plan.add_sampling(
            add_classifier(plan, model),
            baselines(plan),
            SIZES[preset],
            PROGRESSIVE_SIZES[preset],
            kinds=kinds,
            progressive_flags=["--gamma", 0.5, "--delta", 0.0333333],
        )
    add_cost(plan, add_classifier(plan), samplers[""])


def ablation(plan):
    """Add samplers with one setting changed, and some that another classifier scores.

    The latter are scored by a classifier that they were not trained for, or did not ask: does a
    sample serve both?
    """
    m, seeds = ABLATION_SIZE[plan.preset], plan.flags.seeds
    # the preset's classifier, and the one beside it
    home, other = ("pointnet", "vanilla") if plan.preset == "paper" else ("vanilla", "pointnet")
    task, other_task = add_classifier(plan), add_classifier(plan, other)
    own, others = [], []
    for kind in PAIR:
        for seed in seeds:
            own.append(plan.add_sampler(kind, [m], seed, task))
            others.append(plan.add_sampler(kind, [m], seed, other_task, below=f"ablation/{other}"))
    plan.add_scores(task, "evaluation", baselines(plan), runs=".", wants=own)
    add_cost(plan, task, own)
    names = list(ABLATIONS)[:2] if plan.preset == "smoke" else ABLATIONS
    for name in names:
        folder, changed = f"ablation/{name}", []
        for seed in seeds:
            run = plan.add_sampler("samplenet", [m], seed, task, ABLATIONS[name], folder)
            changed.append(run)
        plan.add_scores(task, f"{folder}/evaluation", runs=folder, sizes=[m], wants=changed)
    folder, scored = f"ablation/{other}", dict(sizes=[m], wants=others)
    plan.add_scores(other_task, f"{folder}/evaluation", ["random", "fps"], runs=folder, **scored)
    crossed = ((f"{home}-to-{other}", other_task, own), (f"{other}-to-{home}", task, others))
    for folder, judge, samplers in crossed:
        paths = [plan.path(sampler) for sampler in samplers]
        plan.add_scores(judge, f"ablation/{folder}/evaluation", paths, sizes=[m], needs=samplers)

    sizes = plan.fitting(SIZES[plan.preset])
    asked = dict(runs=".", flags=["--near", *NEAR], wants=own)
    plan.add_scores(task, "ablation/greedy/evaluation", VARIANTS, sizes=sizes, **asked)
    twin = plan.add_task("train_classifier.py", "classifier", variant="seed-1", seed=1)
    for judge, chooser, name in (
        (task, other_task, f"greedy-{other}-to-{home}"),
        (other_task, task, f"greedy-{home}-to-{other}"),
        (twin, task, "greedy-seed-0-to-seed-1"),
    ):
        asked = dict(flags=["--chooser", plan.path(chooser.name)], needs=[chooser.name])
        plan.add_scores(judge, f"ablation/{name}/evaluation", TABLE, sizes=sizes, **asked)


EXTRAS = {"ablation": ablation}


def baselines(plan):
    """Return the samplers without training; greedy ones ask what a network must offer."""
    return ["random", "fps"] if own_network(plan) else ["random", "fps", *TABLE]


def own_network(plan):
    """Return whether --model is the user's own."""
    return plan.flags.model not in (None, *MODELS)


def add_classifier(plan, model=""):
    """Add the training of the preset's classifier or the user's, or of `model` beside it."""
    own = plan.flags.model
    flags = ["--model", model or own] if model or own else []
    if own_network(plan):
        flags.append("--no-xla")  # XLA cannot compile every layer
    return plan.add_task("train_classifier.py", "classifier", flags, model)


def add_cost(plan, task, samplers):
    """Add the measurement of the costs of samplers and classifier."""
    sizes = plan.fitting([32]) if plan.flags.num_points else []
    script = dict(script="cost.py", output="cost.json", exclusive=True, data=False)
    plan.add_scores(
        task, "cost", baselines(plan)[1:], runs=".", sizes=sizes, wants=samplers, **script
    )
