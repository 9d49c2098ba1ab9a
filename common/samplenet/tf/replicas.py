"""One device or several that share each batch, of one machine or of many: `tf.distribute` for a training loop.

Where TensorFlow sees several GPUs, each takes its part of every batch (MirroredStrategy). Where the environment has
TF_CONFIG with a cluster, so do the processes of the cluster (MultiWorkerMirroredStrategy), and the first one writes
for all.
"""

import json
import os
import pickle
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError


class Replicas:
    """The devices among which each batch is divided. Make it before anything else of TensorFlow, then:

    - build networks and optimizer inside `scope()`;
    - wrap the training step in `compiled`; it differentiates its loss over `count`, as gradients are summed;
    - give each batch to the step through `spread`.

    Args:
        batch_size: of a whole batch.

    Attributes:
        count: how many devices there are in all.
        first: whether this is the process that writes.
        single_process: whether there is no other process.

    Raises:
        InputError: TF_CONFIG is damaged, or the devices cannot share a batch evenly.
    """

    def __init__(self, batch_size: int):
        cluster, task = _cluster()
        if cluster:
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        elif len(_gpus()) > 1:
            self.strategy = tf.distribute.MirroredStrategy(_gpus())
        else:
            self.strategy = tf.distribute.get_strategy()  # TensorFlow's default: one device
        self.count = self.strategy.num_replicas_in_sync
        self.first = not cluster or task == {
            "type": "chief" if "chief" in cluster else "worker",
            "index": 0,
        }
        self.single_process = not cluster
        if batch_size % self.count:
            raise InputError(
                f"--batch-size {batch_size} is no multiple of the {self.count} devices that share a batch; choose "
                "another, or fewer GPUs with CUDA_VISIBLE_DEVICES=0"
            )

    def scope(self):
        """Enter the strategy's scope: what is built inside has a copy on every device."""
        return self.strategy.scope()

    def compiled(self, step: Callable, xla: bool = False) -> Callable:
        """Compile `step` to a graph that each device runs on its part of `spread`; its results are averaged over them.

        XLA cannot compile across devices, so with several the step goes without.
        """
        if self.count == 1:
            return tf.function(step, jit_compile=xla)

        @tf.function
        def run(*parts):
            results = self.strategy.run(step, parts)
            return tf.nest.map_structure(
                lambda value: self.strategy.reduce("MEAN", value, axis=None), results
            )

        return run if self.single_process else _together(run)

    def spread(self, *arrays: np.ndarray) -> tuple:
        """Make arrays (B, ...), equal in every process, arguments of a compiled step."""
        if self.count == 1:
            return tuple(tf.constant(array) for array in arrays)
        return tuple(map(self._spread, arrays))

    def _spread(self, array: np.ndarray):
        parts = np.split(array, self.count)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    def mean(self, measured: list) -> np.ndarray:
        """Read what a compiled step returned at each of several steps, (steps, values): means over the devices."""
        return tf.stack(measured).numpy().reshape(len(measured), -1)

    def agree(self, value):
        """Return the first process's value (anything that pickles) in all of them."""
        if self.single_process:
            return value
        packed = (
            np.frombuffer(pickle.dumps(value), np.uint8).astype(np.int32)
            if self.first
            else np.zeros(0, np.int32)
        )
        (length,) = self._of_first(np.array([len(packed)], np.int32))
        content = self._of_first(packed if self.first else np.zeros(length, np.int32))
        return pickle.loads(content.astype(np.uint8).tobytes())

    def _of_first(self, array: np.ndarray) -> np.ndarray:
        """Return the first process's array, of one shape in all: the sum, to which the others add zeros."""

        def add():
            context = tf.distribute.get_replica_context()
            mine = array if context.replica_id_in_sync_group == 0 else np.zeros_like(array)
            return context.all_reduce("SUM", tf.constant(mine))

        return self.strategy.experimental_local_results(self.strategy.run(add))[0].numpy()


def _together(step: Callable) -> Callable:
    """Wrap a `step` that all processes do: where one of them is gone, the others end with InputError."""
    gone = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )

    def run(*parts):
        try:
            return step(*parts)
        except gone as error:
            raise InputError(
                f"another process of this training has ended or cannot be reached ({type(error).__name__}); mend what "
                "it reports and start all of them again with --resume, which goes on from the last epoch's end"
            ) from error

    return run


def _cluster() -> tuple[dict, dict]:
    """Read cluster and task of TF_CONFIG; empty without one."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return {}, {}
    try:
        content = json.loads(text)
        cluster, task = content.get("cluster", {}), content.get("task", {})
        if cluster:
            _ = cluster[task["type"]][task["index"]]  # the cluster names this task, or KeyError
        return cluster, {"type": task.get("type"), "index": task.get("index")}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"TF_CONFIG of the environment names no task of its cluster ({type(error).__name__}: {error}); it should "
            'look like {"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", '
            f'"index": 0}}}}, got {text}'
        ) from error


def _gpus() -> list[str]:
    return [device.name for device in tf.config.list_logical_devices("GPU")]
