"""Count what a TensorFlow training step asks of the host: python benchmarks/host_tf.py SCRIPT ...

SCRIPT is a training script of classification/ or reconstruction/, followed by its own flags. It is
run, and for its last step, loading included, this prints:

- operations that Python starts; the whole compiled step is one of them;
- arrays and numbers that Python makes tensors of: on a GPU each is a copy to the device;
- operations in the compiled step's graph, constants apart, which TensorFlow starts without Python,
  and on a GPU without waiting for each other. Under XLA they are compiled to a few kernels.
"""

import argparse
import contextlib
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import samplenet.quiet_tensorflow  # noqa: F401

import tensorflow as tf

# no public function tells what is run eagerly by the generated wrappers of operations
from tensorflow.python import pywrap_tfe
from tensorflow.python.framework import constant_op

from samplenet.runs import script
from samplenet.runs.parser import Parser
from samplenet.runs.training import Training
from samplenet.tf.replicas import Replicas

ROOT = Path(__file__).parents[1]
SCRIPTS = (
    "classification/train_classifier.py",
    "classification/train_samplenet.py",
    "reconstruction/train_autoencoder.py",
    "reconstruction/train_samplenet.py",
)
STARTS = ("TFE_Py_FastPathExecute", "TFE_Py_Execute", "TFE_Py_ExecuteCancelable")
FREE = ("Const", "Identity", "NoOp", "Placeholder")  # cost nothing when the graph is run


@contextlib.contextmanager
def host_work() -> Iterator[Counter]:
    """Count, while entered, the "operations" that Python starts and the "tensors" that it makes."""
    work, convert = Counter(), constant_op.convert_to_eager_tensor

    def starting(execute):
        def start(*args):
            work["operations"] += 1
            return execute(*args)

        return start

    def converting(value, *args):
        work["tensors"] += not isinstance(value, tf.Tensor)
        return convert(value, *args)

    with contextlib.ExitStack() as stack:
        for name in STARTS:
            counted = starting(getattr(pywrap_tfe, name))
            stack.enter_context(mock.patch.object(pywrap_tfe, name, counted))
        stack.enter_context(mock.patch.object(constant_op, "convert_to_eager_tensor", converting))
        yield work


@contextlib.contextmanager
def steps(work: Counter) -> Iterator[list[Counter]]:
    """Collect, while entered, the work of each training step: from the end of the one before."""
    found, before, add = [], Counter(), Training.add

    def noting(training, measured):
        found.append(work - before)
        add(training, measured)
        before.clear()
        before.update(work)

    with mock.patch.object(Training, "add", noting):
        yield found


def graph_size(step, batch: tuple) -> int:
    """Count the operations of a compiled step, without those that cost nothing."""
    operations = step.get_concrete_function(*batch).graph.get_operations()
    return sum(operation.type not in FREE for operation in operations)


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="host_tf.py", description=__doc__.splitlines()[0])
    parser.add_argument("script", choices=SCRIPTS)
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="of the script")
    given = parser.parse_args()
    path = ROOT / given.script
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path), *given.flags]
    module, compiled, called = importlib.import_module(path.stem), Replicas.compiled, []

    def noting(peers, step, xla=False):
        function = compiled(peers, step, xla)

        def call(*batch):
            called[:] = [function, batch]
            return function(*batch)

        return call

    with host_work() as work, steps(work) as found, mock.patch.object(Replicas, "compiled", noting):
        script.main(module.train, module.Config, module.__doc__)
    print(
        f"a step: {found[-1]['operations']} operations from Python, "
        f"{found[-1]['tensors']} tensors from Python, "
        f"{graph_size(*called)} operations in the graph"
    )


if __name__ == "__main__":
    main()
