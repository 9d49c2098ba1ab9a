"""A training step as one CUDA graph, which a GPU runs without waiting for the host.

A step of these networks is hundreds of short operations: Python takes longer to start each than a
GPU takes to run it. A graph holds all of them and is started once.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from samplenet.errors import InputError
from samplenet.ops import contract
from samplenet.torch.processes import Processes

WARM_UP = 3  # plain steps before the capture, in which libraries load and Adam makes its moments


def adam(net: nn.Module, lr: float, weight_decay: float = 0.0) -> torch.optim.Adam:
    """Build Adam for the weights of a network, with the learning rate in a `rate`."""
    return torch.optim.Adam(net.parameters(), rate(net, lr), weight_decay=weight_decay, fused=True)


def rate(net: nn.Module, lr: float) -> Tensor:
    """Return a learning rate as a tensor beside the weights, for a fused optimizer.

    Set it by `param_groups[0]["lr"].fill_(lr)`: a graph would keep the number that it was captured
    with.
    """
    device = next(net.parameters()).device
    # the dtypes that the fused kernels read: a GPU's float32, the CPU's all digits of a float
    dtype = torch.float32 if device.type == "cuda" else torch.float64
    return torch.tensor(lr, dtype=dtype, device=device)


def serves(peers: Processes, config) -> bool:
    """Return whether steps can be captured: on a GPU, in one process, without --compile.

    Nor can they where coordinates are checked (`samplenet.ops.check_inputs`).
    """
    on_one_gpu = peers.device.type == "cuda" and peers.single_process
    return on_one_gpu and not config.compile and not contract.checking()


def captured(
    step: Callable[..., Tensor], optimizer: torch.optim.Optimizer, peers: Processes, config
) -> Callable[..., Tensor]:
    """Return `step` as a `CapturedStep`, or as it is with --no-capture or where capture cannot be.

    Raises:
        InputError: --capture where a step cannot be captured.
    """
    possible = serves(peers, config)
    if config.capture and not possible:
        raise InputError(
            "--capture needs a GPU, one process, no --compile and no SAMPLENET_CHECK; leave it "
            "out, and the step is captured wherever it can be"
        )
    return CapturedStep(step, optimizer) if possible and config.capture is not False else step


class CapturedStep:
    """Run a training step plainly `WARM_UP` times, capture it, and replay it from then on.

    Each call is one step of the training, the first ones too, and capturing executes nothing. So
    weights, moments and running statistics are those of plain steps.

    A graph repeats what the device did, not what Python does besides. So what changes from step to
    step must be a tensor, all inputs keep their shapes, and no value may be read on the host
    (`.item()`, `if tensor`).

    Args:
        step: a function of tensors on the GPU that runs zero_grad, forward and backward pass and
            `optimizer.step`, and returns a detached tensor of measurements.
        optimizer: as `adam` builds it.
    """

    def __init__(self, step: Callable[..., Tensor], optimizer: torch.optim.Optimizer):
        self._step, self._optimizer, self._done = step, optimizer, 0
        self._stream = torch.cuda.Stream()  # a graph cannot be captured on the default stream
        self._graph = self._inputs = self._measured = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Do one step of the training; return its measurements, which later steps leave alone."""
        if self._done < WARM_UP:
            self._done += 1
            return self._warm_up(inputs)
        if self._graph is None:
            self._capture(inputs)
        for held, given in zip(self._inputs, inputs, strict=True):
            if held.shape != given.shape:
                raise ValueError(
                    f"the step was captured for an input of shape {tuple(held.shape)}, "
                    f"got {tuple(given.shape)}; all batches must have one size"
                )
            held.copy_(given)
        self._graph.replay()
        return self._measured.clone()

    def _warm_up(self, inputs) -> Tensor:
        """Run the step on the stream of the capture, as PyTorch's notes on CUDA graphs ask for."""
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            measured = self._step(*inputs)
        here.wait_stream(self._stream)
        return measured

    def _capture(self, inputs) -> None:
        self._inputs = [given.clone() for given in inputs]
        for group in self._optimizer.param_groups:
            group["capturable"] = True  # earlier, Adam would warn of each plain step
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._measured = self._step(*self._inputs)
        except RuntimeError as error:
            raise InputError(
                f"the step cannot be captured as a CUDA graph ({error}); give --no-capture"
            ) from error
        self._graph = graph
