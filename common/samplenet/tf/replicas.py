"""Share each batch of a training among devices of one machine or of several: `tf.distribute`.

Where TensorFlow sees several GPUs, each takes its part of every batch (MirroredStrategy). Where the
environment's TF_CONFIG names a cluster, so do the processes of that cluster, on one machine or many
(MultiWorkerMirroredStrategy); the first of them writes for all.
"""

import json
import os
import pickle
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from samplenet.errors import InputError

LOST_PROCESS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Replicas:
    """The devices that share each batch. Create it before anything else of TensorFlow, then:

    - build networks and optimizer inside `scope()`;
    - wrap the training step in `compiled`. In the step, divide the loss by `count` before
      differentiating it: each device's loss is a mean over its part, and gradients are added up;
    - give each batch to the step through `spread`.

    Args:
        batch_size: of a whole batch.
        deterministic: the same seed on the same device gives the same weights, bit for bit.

    Attributes:
        count: how many devices there are in all processes.
        first: whether this is the process that writes.
        single_process: whether there is no other process.

    Raises:
        InputError: TF_CONFIG is damaged, or the devices cannot share a batch evenly.
    """

    def __init__(self, batch_size: int, deterministic: bool = False):
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        cluster, task = _cluster()
        if cluster:
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        elif len(_gpus()) > 1:
            self.strategy = tf.distribute.MirroredStrategy(_gpus())
        else:
            self.strategy = tf.distribute.get_strategy()  # TensorFlow's default: one device
        self.count = self.strategy.num_replicas_in_sync
        chief = {"type": "chief" if "chief" in cluster else "worker", "index": 0}
        self.first = not cluster or task == chief
        self.single_process = not cluster
        self._differs = None
        if batch_size % self.count:
            raise InputError(
                f"--batch-size {batch_size} is no multiple of the {self.count} devices that share "
                "a batch; choose another, or fewer GPUs with CUDA_VISIBLE_DEVICES=0"
            )

    def scope(self):
        """Enter the strategy's scope: what is built inside has a copy on every device."""
        return self.strategy.scope()

    def compiled(self, step: Callable, xla: bool = False) -> Callable:
        """Compile `step` to a graph that each device runs on its part; the results are averaged.

        `xla` holds for one device: XLA cannot compile across several.
        """
        if self.count == 1:
            return tf.function(step, jit_compile=xla)

        @tf.function
        def graph(*parts):
            results = self.strategy.run(step, parts)
            return tf.nest.map_structure(
                lambda value: self.strategy.reduce("MEAN", value, axis=None), results
            )

        def run(*parts):
            try:
                return graph(*parts)
            except LOST_PROCESS as error:
                raise InputError(
                    "another process of this training has ended or cannot be reached "
                    f"({type(error).__name__}); mend what it reports and start all of them again "
                    "with --resume, which goes on from the last epoch's end"
                ) from error

        return graph if self.single_process else run

    def spread(self, *arrays: np.ndarray) -> tuple:
        """Split arrays (B, ...), the same in every process, into arguments of a compiled step."""
        if self.count == 1:
            return tuple(tf.constant(array) for array in arrays)
        return tuple(map(self._spread, arrays))

    def _spread(self, array: np.ndarray):
        parts = np.split(array, self.count)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    def mean(self, measured: list) -> np.ndarray:
        """Read the results of several steps, (steps, values); a compiled step has averaged them."""
        return tf.stack(measured).numpy().reshape(len(measured), -1)

    def check_identical(self, model) -> None:
        """Raise RuntimeError unless every device has the first one's weights, bit for bit."""
        if self.count == 1:
            return
        if self._differs is None:  # traced once: every epoch asks about the same model
            self._differs = self.compiled(lambda: _differs_from_first(model))
        differing = round(self.count * float(self._differs()))
        if differing:
            raise RuntimeError(
                f"the weights of {differing} of {self.count} devices differ from the first one's"
            )

    def agree(self, value):
        """Return the first process's value in all of them; it must pickle."""
        if self.single_process:
            return value
        # processes can only add up arrays of one shape, so the length comes before the content
        content = np.frombuffer(pickle.dumps(value), np.uint8).astype(np.int32)
        (length,) = self._of_first(np.array([len(content)], np.int32))
        content = self._of_first(np.resize(content, length))
        return pickle.loads(content.astype(np.uint8).tobytes())

    def _of_first(self, array: np.ndarray) -> np.ndarray:
        """Return the first process's array: the sum of all, to which the others add zeros."""

        def add():
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group == 0
            return context.all_reduce("SUM", tf.constant(array if first else np.zeros_like(array)))

        return self.strategy.experimental_local_results(self.strategy.run(add))[0].numpy()


def _differs_from_first(model) -> tf.Tensor:
    """Return, on each device, 1.0 if its weights differ from the first device's, else 0.0."""
    context = tf.distribute.get_replica_context()
    parts = [tf.reshape(tf.convert_to_tensor(w), [-1]) for w in model.trainable_variables]
    # as whole numbers, so that a sum to which the others add zeros is the first one's bits
    mine = tf.bitcast(tf.concat(parts, 0), tf.int32)
    is_first = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.int32)
    first = context.all_reduce("SUM", is_first * mine)
    return tf.cast(tf.reduce_any(mine != first), tf.float32)


def _cluster() -> tuple[dict, dict]:
    """Read the cluster and this process's task from TF_CONFIG; both are empty without it."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return {}, {}
    try:
        content = json.loads(text)
        cluster, task = content.get("cluster", {}), content.get("task", {})
        if cluster and task["index"] not in range(len(cluster[task["type"]])):
            raise IndexError(f"no {task['type']} {task['index']}")
        return cluster, {"type": task.get("type"), "index": task.get("index")}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            "TF_CONFIG of the environment names no task of its cluster "
            f"({type(error).__name__}: {error}); it should look like "
            '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", '
            f'"index": 0}}}}, got {text}'
        ) from error


def _gpus() -> list[str]:
    return [device.name for device in tf.config.list_logical_devices("GPU")]
