"""Count what a training step asks of the host, plain and captured; on a GPU also time it.

    python benchmarks/captured_steps.py [--out FILE]

The steps are those of registration/train_pcrnet.py and train_samplenet.py, loading included, with
batches of 32 pairs: of 1024 points on a GPU, of 256 without one, where a stand-in records and
replays the graph. Counted are the operations that Python hands to PyTorch, and those whose result
the host waits for; starting a graph counts as one. What an operation does inside is not seen. Both
ways must end with the same weights, bit for bit.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cpu_graphs import READS, cpu_graphs
from samplenet.atomic import write_json
from samplenet.ops.torch import _pooled_linear
from samplenet.runs import schedules, settings
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.environment import environment
from samplenet.runs.parser import Parser

ROOT = Path(__file__).parents[1]
PAIRS = "--pairs 192 --hold-out 0"  # six steps an epoch
RUN = "--batch-size 32 --epochs 1 --deterministic"
TIMED = "--batch-size 32 --epochs 20 --checkpoint-epochs 20 --deterministic"


class HostWork(TorchDispatchMode):
    """Count operations, and those whose result the host reads, and note both at each step."""

    def __init__(self):
        super().__init__()
        self.operations = self.reads = 0
        self._learning_rate, self._noted = schedules.learning_rate, []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.operations += 1
        self.reads += operation in READS
        return operation(*args, **(kwargs or {}))

    def learning_rate(self, *args) -> float:
        """Be called once a step, in place of the schedule."""
        self._noted.append((self.operations, self.reads))
        return self._learning_rate(*args)

    @property
    def of_a_step(self) -> tuple[int, int]:
        """Operations and reads between the last two steps; by then a graph is replayed."""
        (operations, reads), (later, later_reads) = self._noted[-2:]
        return later - operations, later_reads - reads


def count(script, *flags: str) -> tuple[int, int]:
    """Run a training script; return the operations and the reads of one of its last steps."""
    work = HostWork()
    with work, mock.patch.object(schedules, "learning_rate", work.learning_rate):
        script.train(settings.load(script.Config, [*flags]))
    return work.of_a_step


def same_weights(one: Path, two: Path) -> bool:
    """Return whether two runs ended with the same state, bit for bit."""
    (first, _), (second, _) = (load_checkpoint(run / "last.safetensors") for run in (one, two))
    return all((first[name] == second[name]).all() for name in first)


def step_ms(run: Path) -> float:
    """Read the milliseconds of a step of a run's last epoch."""
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["time"]["step_ms"]


def compare(name: str, script, flags: list[str], folder: Path) -> list[dict]:
    """Train plainly and captured; return the rows of both."""
    rows = []
    for way in ("no-capture", "capture"):
        out = folder / f"{name}-{way}"
        operations, reads = count(script, *flags, *RUN.split(), f"--{way}", "--out", str(out))
        operations += way == "capture"  # the start of the graph
        row = {"network": name, "step": way, "operations": operations, "reads": reads}
        row["step_ms"] = None
        if torch.cuda.is_available():  # again, as counting takes time
            timed = folder / f"{name}-{way}-timed"
            more = [*TIMED.split(), f"--{way}", "--out", str(timed)]
            script.train(settings.load(script.Config, [*flags, *more]))
            row["step_ms"] = step_ms(timed)
        rows.append(row)
    if not same_weights(folder / f"{name}-no-capture", folder / f"{name}-capture"):
        sys.exit(f"captured_steps.py: error: {name} has other weights when its step is captured")
    return rows


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="captured_steps.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the counts as JSON to this file")
    flags = parser.parse_args()
    sys.path.insert(0, str(ROOT / "registration"))
    import train_pcrnet
    import train_samplenet

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # ops of layers have no CUDA kernel, so a GPU is asked for the operations that replace them
        never = mock.patch.object(_pooled_linear, "serves_natively", lambda features: False)
        stack.enter_context(never)
        points = 1024
        if not torch.cuda.is_available():
            points = 256
            stack.enter_context(cpu_graphs())
        pairs = f"{PAIRS} --num-points {points}".split()
        rows = compare("PCRNet", train_pcrnet, pairs, folder)
        task = ["--task", str(folder / "PCRNet-capture"), "--sample-sizes", "64"]
        rows += compare("SampleNet", train_samplenet, task, folder)
    print("| network | step | operations | reads | ms on a GPU |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("|", *(f"{'not measured' if value is None else value} |" for value in row.values()))
    if flags.out:
        write_json(flags.out, {"environment": environment(), "rows": rows})


if __name__ == "__main__":
    main()
