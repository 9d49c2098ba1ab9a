"""Settings: where they come from, and what is refused."""

import dataclasses
import math
import re
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest

from samplenet import InputError
from samplenet.runs import settings
from samplenet.runs.experiments import discover
from samplenet.runs.settings import option

ROOT = Path(__file__).parents[2]


@dataclass
class Config:
    epochs: int = option(5, "passes", at_least=1)
    lr: float = option(1e-3, "rate", above=0)
    task: str | None = option(None, "folder")
    sample_sizes: list[int] = option([32], "m", at_least=1, at_most=99)
    projection: bool = option(True, "soft projection")
    shape: str = option("step", "of the rate", choices=("step", "cosine"))
    names: list[str] = option(["a"], "of classes", filled=True)


@dataclass
class Published(Config):
    epochs: int = 250


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load with a preset of the given text, as the script train.py beside other.py."""
    for script in ("train.py", "other.py"):
        (tmp_path / script).touch()
    monkeypatch.setattr("sys.argv", [str(tmp_path / "train.py")])

    def load(text=None, *flags):
        if text is None:
            return settings.load(Config, list(flags))
        (tmp_path / "preset.yaml").write_text(text)
        return settings.load(Config, ["--config", str(tmp_path / "preset.yaml"), *flags])

    return load


def test_flags_win_over_file_over_defaults(load):
    config = load("train: {epochs: 7, lr: 1e-2}\nother: {anything: 1}", "--epochs", "9")
    assert (config.epochs, config.lr, config.sample_sizes) == (9, 0.01, [32])


def test_flags_of_every_kind(load):
    config = load(
        None, "--sample-sizes", "8", "16", "--no-projection", "--task", "here", "--lr", "2e-3"
    )
    assert config == Config(5, 2e-3, "here", [8, 16], False)


def test_a_dumped_config_reads_back(load):
    config = load(None, "--sample-sizes", "8", "--no-projection")
    assert load(settings.dump(config)) == config


def test_defaults_are_not_shared_between_configs():
    first = Config()
    first.sample_sizes.append(1)
    assert Config().sample_sizes == [32]


@pytest.mark.parametrize(
    "text, words",
    [
        ("epoch: 3", "unknown key 'epoch'.*did you mean 'epochs'"),
        ("zzz: 3", "unknown key 'zzz'.*known: epochs"),
        ("train: {epoch: 3}", "unknown key 'epoch'"),
        ("trian: {epochs: 3}", "section 'trian' names no script"),
        ("train: 3\nother: {a: 1}", "section 'train' must hold fields, got 3"),
        ("epochs: many", "epochs must be int, got 'many'"),
        ("epochs: 1.5", "epochs must be int, got 1.5"),
        ("epochs: true", "epochs must be int, got True"),
        ("epochs: null", "epochs must be int, got None"),
        ("lr: [1]", "lr must be a finite number"),
        ("lr: .inf", "lr must be a finite number, got inf"),
        ("lr: .nan", "lr must be a finite number, got nan"),
        ("lr: 0", r"preset.yaml: lr must be above 0, got 0"),
        ("shape: line", "shape must be one of step, cosine, got 'line'"),
        ("projection: 'False'", "projection must be bool, got 'False'"),
        ("projection: 0", "projection must be bool, got 0"),
        ("sample_sizes: 8", "sample_sizes must be a list"),
        ("names: [a, b, a]", "names names 'a' twice: name each once"),
        ("names: []", "names is empty: name at least one"),
        ("sample_sizes: [8, x]", "sample_sizes must be int, got 'x'"),
        ("- 1", "must hold fields"),
        ("a: [", "not a YAML file"),
        ("a: 2020-13-45", "not a YAML file: month must be in"),
        ("a: 0b_", "not a YAML file"),
        ("[" * 5000, "not a YAML file"),
        ("epochs: !!python/object/apply:os.system ['true']", "not a YAML file"),
    ],
)
def test_a_bad_file_is_refused_by_name(load, text, words):
    with pytest.raises(InputError, match=words):
        load(text)


def test_a_value_that_aliases_make_endless_is_told_briefly(load):
    """Ten to the ninth entries when written out."""
    lines = "".join(f"    - &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    with pytest.raises(InputError, match="epochs must be int, got") as caught:
        load(f"epochs:\n    - &a0 [{', '.join('x' * 10)}]\n{lines}")
    assert len(str(caught.value)) < 500


def test_a_bad_flag_value_is_refused_by_name(load):
    with pytest.raises(InputError, match="--epochs must be int, got 'x'"):
        load(None, "--epochs", "x")


def test_paths_are_kept_absolute_and_are_not_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings.load(settings.DataConfig, ["--data-root", "here"]).data_root == str(
        tmp_path / "here"
    )
    with pytest.raises(InputError, match="--data-root is empty"):
        settings.load(settings.DataConfig, ["--data-root", ""])


def test_a_missing_file_is_named(load):
    with pytest.raises(InputError, match=r"nowhere\.yaml: No such file"):
        load(None, "--config", "nowhere.yaml")


def test_a_run_folder_with_a_value_out_of_bounds_is_refused(load, tmp_path):
    (tmp_path / "config.yaml").write_text(settings.dump(Config(epochs=0)))
    with pytest.raises(InputError, match=r"config.yaml: epochs must be at least 1, got 0"):
        settings.read(Config, tmp_path / "config.yaml")


def test_help_shows_default_bounds_and_choices(load, capsys):
    with pytest.raises(SystemExit):
        load(None, "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "passes (default: 5; at least 1)" in text and "rate (default: 0.001; above 0)" in text
    assert "m (default: [32]; at least 1; at most 99)" in text
    assert "of the rate (default: step; one of step, cosine)" in text


def test_a_new_default_keeps_help_and_bounds(capsys):
    assert settings.load(Published, []).epochs == 250
    with pytest.raises(InputError, match="--epochs must be at least 1, got 0"):
        settings.load(Published, ["--epochs", "0"])
    with pytest.raises(SystemExit):
        settings.load(Published, ["--help"])
    assert "passes (default: 250; at least 1)" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_bound_is_a_mistake_of_the_script():
    with pytest.raises(TypeError, match="atleast"):
        option(1, "a number", atleast=1)


def edges(kind, bound, limit):
    """The last value that a bound allows, and the first that it does not."""
    up = 1 if bound in ("above", "at_least") else -1
    if bound in ("above", "below"):
        return math.nextafter(limit, up * math.inf), kind(limit)
    return kind(limit), limit - up if kind is int else math.nextafter(limit, -up * math.inf)


def test_every_bound_and_choice_of_every_script(import_scripts, tmp_path):
    """Just outside is refused with flag and value; the edge and the defaults are accepted."""
    checked = 0
    for experiment in discover(ROOT):
        scripts = import_scripts(experiment)
        for config in {
            module.Config for module in vars(scripts).values() if hasattr(module, "Config")
        }:
            (tmp_path / "config.yaml").write_text(settings.dump(config()))
            settings.read(config, tmp_path / "config.yaml")
            for field in dataclasses.fields(config):
                checked += check_edges(config, field.name)
    assert checked > 100


def check_edges(config, name):
    """Try every bound and choice of a field; how many there were."""
    about, kind = settings.metadata(config, name), typing.get_type_hints(config)[name]
    assert about["help"], f"{config.__module__}: {name}"
    kind, *_ = typing.get_args(kind) or [kind]
    cases = [edges(kind, bound, limit) for bound, limit in about["bounds"].items()]
    cases += [(choice, "nonsense") for choice in about["choices"]]
    flag = "--" + name.replace("_", "-")
    for right, wrong in cases:
        assert getattr(settings.load(config, [f"{flag}={right}"]), name) in (right, [right])
        with pytest.raises(
            InputError, match=rf"^{flag} must be .*, got '?{re.escape(str(wrong))}'?$"
        ):
            settings.load(config, [f"{flag}={wrong}"])
    return len(cases)
