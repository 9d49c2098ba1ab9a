"""The loop behind the loops: where it goes on, when it leaves, what it logs and keeps."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet import InputError
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.run import Run
from samplenet.runs.settings import RunConfig
from samplenet.runs.training import Training

PEERS = SimpleNamespace(
    first=True,
    single_process=True,
    agree=lambda value: value,
    mean=np.stack,
    check_identical=lambda model: None,
)
TARGETS = np.random.default_rng(0).normal(size=12)


@dataclass
class Config(RunConfig):
    epochs: int = 4
    resume: bool = True


class State:
    """A weight, as a network would have it."""

    def __init__(self):
        self.weight = np.zeros(1)
        self.model = None

    def arrays(self):
        return {"weight": self.weight.copy()}

    def restore(self, arrays, source):
        self.weight = arrays["weight"].copy()


def train(out, loaded=None, peers=PEERS, **options):
    """Learn the mean of the targets by three steps an epoch; the state that it ends with."""
    state, order = State(), np.arange(12).reshape(3, 4)

    def load(step, rows):
        if loaded is not None:
            loaded.append(step)
        return TARGETS[rows]

    with Training(
        Config(out=str(out), **options), peers, state, metadata={"names": ["a"]}
    ) as training:
        for _ in training.epochs():
            for step, targets in training.steps(order, load):
                error = state.weight - targets
                state.weight = state.weight - 0.1 * error.mean()
                training.add(np.array([np.square(error).mean(), step]))
            judged = {"held_out_error": abs(state.weight[0])} if training.judging else {}
            training.end_epoch(("loss", "mean_step"), lr=0.1, **judged)
    return state


def test_an_epoch_is_logged_printed_and_kept(tmp_path, metrics, capsys):
    state = train(tmp_path, checkpoint_epochs=3)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    assert [line["mean_step"] for line in lines] == [1, 4, 7, 10]
    assert ["held_out_error" in line for line in lines] == [False, False, True, True]
    arrays, meta = load_checkpoint(tmp_path / "last.safetensors")
    assert arrays["weight"] == state.weight
    assert {"epoch": 4, "step": 12, "done": True, "names": ["a"]}.items() <= meta.items()
    assert load_checkpoint(tmp_path / "previous.safetensors")[1]["epoch"] == 3
    printed = capsys.readouterr().out.splitlines()
    assert (
        len(printed) == 4
        and printed[0].startswith("epoch 1/4  loss ")
        and "held out error" in printed[-1]
    )


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_run_stopped_over_and_over_ends_the_same_and_loads_no_batch_twice(
    tmp_path, monkeypatch, metrics, every
):
    whole, asked, loaded, ended = train(tmp_path / "whole"), [], [], None

    def stopping(run):
        asked.append(1)
        return len(asked) % every == 0

    monkeypatch.setattr(Run, "stopping", property(stopping))
    while ended is None:
        try:
            ended = train(tmp_path / "run", loaded)
        except SystemExit as error:
            assert error.code == 128
    assert len(asked) > 12 and loaded == list(range(12))
    assert ended.weight == whole.weight and metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(tmp_path, capsys):
    train(tmp_path)
    before = (tmp_path / "last.safetensors").read_bytes()
    capsys.readouterr()
    train(tmp_path)
    assert capsys.readouterr().out == f"{tmp_path} is finished\n"
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_another_process_has_no_folder_and_goes_on_where_the_first_one_says(tmp_path, capsys):
    first = ({"weight": np.ones(1)}, {"epoch": 2}, False)
    other = {"first": False, "single_process": False, "agree": lambda value: first}
    loaded, peers = [], SimpleNamespace(**{**vars(PEERS), **other})
    assert train(tmp_path / "run", loaded, peers).weight != 0
    assert (
        loaded == list(range(6, 12))
        and not (tmp_path / "run").exists()
        and not capsys.readouterr().out
    )


@pytest.mark.parametrize("stopped", [False, True])
def test_a_loss_that_is_not_finite_is_kept_nowhere(tmp_path, monkeypatch, stopped):
    asked = []
    monkeypatch.setattr(
        Run, "stopping", property(lambda run: stopped and (asked.append(1) or len(asked) == 3))
    )
    monkeypatch.setattr(f"{__name__}.TARGETS", spoilt(TARGETS))
    with pytest.raises(InputError, match="the loss became nan at step 1; try a lower --lr"):
        train(tmp_path)
    assert not (tmp_path / "last.safetensors").exists()


def spoilt(targets):
    return np.where(np.arange(12) == 4, np.nan, targets)  # of the second batch


def test_a_judgement_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.abs", lambda value: np.inf, raising=False)
    with pytest.raises(InputError, match="the held out error became inf at step 3"):
        train(tmp_path)
