"""What a training loop needs besides its method: resuming, stopping, logging and checkpoints.

Both `for`s stay in the script, as with tqdm:

    with Training(config, peers, State(net, optimizer)) as training:
        for epoch in training.epochs():
            for step, batch in training.steps(order, load):
                training.add(train_step(*batch))
            training.end_epoch(("loss",), lr=lr)
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from samplenet import weights
from samplenet.runs.memory import keep_freed_memory
from samplenet.runs.run import Run, finite


class Training:
    """A run of `config.epochs` epochs that resumes from its folder, also within an epoch.

    Use it in a `with`. Of several processes only the first opens the run folder; it sends the
    others what it finds there. From then on the process keeps the memory that it frees
    (`samplenet.runs.memory`).

    Args:
        config: the script's settings, a RunConfig.
        peers: `samplenet.tf.replicas.Replicas` or `samplenet.torch.processes.Processes`.
        state: the `State` of a network and its optimizer; a checkpoint is restored on entering.
        task: run folder of the frozen network that this run needs.
        metadata: stored in each checkpoint besides its epoch and step.
        card: for a run that trains a sampler, the metadata of the file sampler.safetensors that its
            last epoch writes for `samplenet.load_pretrained`.

    Attributes:
        run: the run folder, in the first process; else None.
        done: whether the run had finished already.
        epoch: the current one.
        step: how many steps of the run are done, once an epoch has ended.
        resumed: measurements from the part of the epoch done before the run was stopped,
            (steps, values).
    """

    def __init__(
        self,
        config,
        peers,
        state,
        task: str = "",
        metadata: dict | None = None,
        card: dict | None = None,
    ):
        self.config, self.peers, self.state, self.metadata = config, peers, state, metadata or {}
        self._task, self._card, self.run, self._added = task, card, None, []

    def __enter__(self):
        keep_freed_memory()
        with contextlib.ExitStack() as stack:
            if self.peers.first:
                run = Run(self.config.out, self.config, self._task, self.peers.single_process)
                self.run = stack.enter_context(run)
            resumed = (self.run.arrays, self.run.meta, self.run.done) if self.run else None
            arrays, meta, self.done = self.peers.agree(resumed)
            self.epoch = meta.get("epoch", 0)
            self.resumed = arrays.pop("within", np.zeros(0))
            if arrays and not self.done:
                self.state.restore(arrays, f"the checkpoint in {self.config.out}")
            self._close = stack.pop_all()  # all went well: the folder stays open until __exit__
        return self

    def __exit__(self, *error):
        return self._close.__exit__(*error)

    def epochs(self) -> Iterator[int]:
        """Yield the numbers of the remaining epochs; print a line if the run is done."""
        if self.done and self.run:
            print(f"{self.run.folder} is finished")
        first = self.config.epochs if self.done else self.epoch
        for epoch in range(first, self.config.epochs):
            self.epoch = epoch
            yield epoch

    def steps(self, order: Sequence, load: Callable) -> Iterator[tuple]:
        """Yield (step, batch) for the epoch's remaining steps, numbered from the run's start.

        After a signal to stop, it leaves before the next step, see `Run.leave`.

        Args:
            order: the row numbers of each batch of the epoch, (steps, B).
            load: (step, rows) -> the batch. Its time is logged as data_ms.
        """
        begin, loading, done = time.perf_counter(), 0.0, len(self.resumed)
        self._first_step, self._added = self.epoch * len(order), []
        title = f"epoch {self.epoch + 1}/{self.config.epochs}"
        hidden = None if self.run else True  # None: tqdm shows it if stderr is a terminal
        progress = tqdm(order[done:], title, len(order), leave=False, initial=done, disable=hidden)
        for step, rows in enumerate(progress, self._first_step + done):
            if self.run and self.run.stopping:
                position = {**self.metadata, "epoch": self.epoch, "step": step}
                self.run.leave(self.state.arrays(), position, self._read())
            ready = time.perf_counter()
            batch = load(step, rows)
            loading += time.perf_counter() - ready
            yield step, batch
        self.peers.check_identical(self.state.model)
        self._measured, self.step = self._read(), self._first_step + len(order)
        self.resumed = self.resumed[:0]
        # reading the measurements above waited for the device, so this time is the computation's
        seconds = time.perf_counter() - begin
        milliseconds = 1e3 / (len(order) - done)  # a step's, for each second of the whole loop
        self._timing = {"step_ms": milliseconds * seconds, "data_ms": milliseconds * loading}

    def add(self, measured) -> None:
        """Keep a step's measurements, a tensor that begins with the loss.

        They stay on their device until the epoch ends: reading them at every step would make a GPU
        wait for the host.
        """
        self._added.append(measured)

    def _read(self) -> np.ndarray:
        """Read this epoch's measurements, (steps, values).

        Raises:
            InputError: a loss is not finite; the message names the step.
        """
        added = self.peers.mean(self._added) if self._added else self.resumed[:0]
        measured = np.concatenate([self.resumed, added]) if len(self.resumed) else added
        for i, values in enumerate(measured.tolist()):
            finite(values[0], "the loss", self._first_step + i)
        return measured

    @property
    def last(self) -> bool:
        """Return whether this is the first process in the run's last epoch."""
        return bool(self.run) and self.epoch + 1 == self.config.epochs

    @property
    def judging(self) -> bool:
        """Return whether this process ends this epoch with a checkpoint.

        If so, the script measures it on held-out data.
        """
        due = (self.epoch + 1) % self.config.checkpoint_epochs == 0
        return self.last or due and bool(self.run)

    def end_epoch(self, names: Sequence[str], **values: float) -> None:
        """Log and print the epoch, and write a checkpoint if one is due.

        Args:
            names: of the measurements given to `add`; their means over the epoch are logged.
            values: further values to log, by name.
        """
        if not self.run:
            return
        means = self._measured.mean(0, dtype=np.float64)
        logged = dict(zip(names, means.tolist(), strict=True))
        for name, value in values.items():
            logged[name] = finite(float(value), f"the {name.replace('_', ' ')}", self.step)
        rounded = {name: round(value, 9) for name, value in logged.items()}
        self.run.log(self.step, rounded, self._timing)
        words = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in logged.items()]
        words.append("{step_ms:.1f} ms a step, {data_ms:.1f} of them data".format(**self._timing))
        print(f"epoch {self.epoch + 1}/{self.config.epochs}", *words, sep="  ", flush=True)
        if self.last and self._card:
            weights.save(self.state.model, self.run.folder / "sampler.safetensors", self._card)
        if self.judging:
            meta = {**self.metadata, "epoch": self.epoch + 1, "step": self.step}
            self.run.checkpoint(self.state.arrays(), meta, done=self.last)
