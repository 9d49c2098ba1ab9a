"""Time a training step of feature_rendering/, and with dense projections.

    python benchmarks/feature_steps.py [--out FILE]

DIFFER's network for colours with its losses, four views of random points and images: 64 x 64 pixels
and 1024 points for 1 and for 8 objects, and the quick preset's 32 x 32 pixels and 256 points for
16. "dense" is the same step with the released code's formulation of the projections, which has a
number for each pixel and point of a view; of the 8 objects it takes more than ten gigabytes, and is
timed on request (--all). Times are the median and the best of five turns after a warm-up.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from samplenet.atomic import write_json
from samplenet.ops.projections import Projected
from samplenet.runs.environment import environment
from samplenet.runs.parser import Parser

ROOT = Path(__file__).parents[1]
# pixels a side, points, objects
CASES = {"full size": (64, 1024, 1), "eight objects": (64, 1024, 8), "quick": (32, 256, 16)}
VIEWS = 4


def step(side: int, count: int, batch: int, dense: bool) -> Callable:
    """Return a training step of `feature_rendering/train_points.py`, traced."""
    import samplenet.quiet_tensorflow  # noqa: F401

    import keras
    import numpy as np
    import tensorflow as tf

    from projections import tf_dense_features, tf_dense_mask

    sys.path.insert(0, str(ROOT / "feature_rendering"))
    import networks
    import targets
    import train_points
    from samplenet.data import cameras

    config = train_points.Config(image_size=side, num_points=count, batch_size=batch)
    rng = np.random.default_rng(0)
    pictures = tf.constant(rng.integers(256, size=(batch, 1 + VIEWS, side, side, 5)), tf.uint8)
    angles = rng.uniform((-180, -20), (180, 40), (batch, VIEWS, 2))
    known = cameras.to_differ(cameras.extrinsic(*np.moveaxis(angles, -1, 0)))
    known = tf.constant(known, tf.float32)
    keras.utils.set_random_seed(0)
    net, optimizer = networks.build(config), keras.optimizers.Adam(config.lr)
    optimizer.build(net.trainable_variables)

    @tf.function
    def train():
        images, views = targets.unpack(pictures)
        with tf.GradientTape() as tape:
            terms = train_points.compare(config, net(images, training=True), known, views)
            loss = sum(terms.values())
        optimizer.apply(tape.gradient(loss, net.trainable_variables))
        return loss

    def draw(*arguments):
        return Projected(tf_dense_features(*arguments), None)

    if dense:
        patched = {"project_mask": tf_dense_mask, "project_features": draw}
        with mock.patch.multiple(train_points.ops, **patched):
            traced = train.get_concrete_function()
    else:
        traced = train.get_concrete_function()
    return lambda: traced().numpy()


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="feature_steps.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the times as JSON to this file")
    parser.add_argument("--all", action="store_true", help="also the dense step of eight objects")
    text = "threads of every case (default: the number of cores)"
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help=text)
    parser.add_argument("--turns", type=int, default=5, help="turns that are timed (default: 5)")
    flags = parser.parse_args()
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(flags.threads)  # before TensorFlow is imported
    from samplenet.timing import in_turns

    rows = []
    print("| case | ours, ms (best) | dense, ms (best) | ratio of medians |")
    print("| --- " * 4 + "|")
    for name, (side, count, batch) in CASES.items():
        steps = {"ours": step(side, count, batch, dense=False)}
        if flags.all or batch * side**2 * count <= 2**22:
            steps["dense"] = step(side, count, batch, dense=True)
        times = in_turns(steps, flags.turns)
        cells = [f"{1e3 * t.median:.1f} ({1e3 * t.best:.1f})" for t in times.values()]
        if "dense" in times:
            cells.append(f"{times['dense'].median / times['ours'].median:.1f}")
        words = f"{name}: {side} pixels, {count} points, B {batch}"
        print(f"| {words} | {' | '.join(cells)} |", flush=True)
        for kind, seconds in times.items():
            ms = {"median_ms": 1e3 * seconds.median, "best_ms": 1e3 * seconds.best}
            rows.append({"case": words, "step": kind, **ms})
    if flags.out:
        done = {"environment": environment(), "threads": flags.threads, "rows": rows}
        write_json(flags.out, done)


if __name__ == "__main__":
    main()
