"""Settings: where they come from, and what is refused."""

from dataclasses import dataclass

import pytest

from samplenet import InputError
from samplenet.runs import settings
from samplenet.runs.settings import option


@dataclass
class Config:
    epochs: int = option(5, "passes")
    lr: float = option(1e-3, "rate")
    task: str | None = option(None, "folder")
    sample_sizes: list[int] = option([32], "m")
    projection: bool = option(True, "soft projection")


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
    config = load(None, "--sample-sizes", "8", "16", "--no-projection", "--task", "here", "--lr", "2e-3")
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
        ("projection: 'False'", "projection must be bool, got 'False'"),
        ("projection: 0", "projection must be bool, got 0"),
        ("sample_sizes: 8", "sample_sizes must be a list"),
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
    assert settings.load(settings.DataConfig, ["--data-root", "here"]).data_root == str(tmp_path / "here")
    with pytest.raises(InputError, match="--data-root is empty"):
        settings.load(settings.DataConfig, ["--data-root", ""])


def test_a_missing_file_is_named(load):
    with pytest.raises(InputError, match=r"nowhere\.yaml: No such file"):
        load(None, "--config", "nowhere.yaml")


def test_at_least():
    settings.at_least(Config(), epochs=1, sample_sizes=1)
    with pytest.raises(InputError, match=r"--sample-sizes must be at least 33, got \[32\]"):
        settings.at_least(Config(), sample_sizes=33)
    with pytest.raises(InputError, match=r"--epochs must be at most 4, got 5"):
        settings.at_most(Config(), epochs=4)
    with pytest.raises(InputError, match="--lr must be at least 0, got nan"):
        settings.at_least(Config(lr=float("nan")), lr=0)
    with pytest.raises(InputError, match="--lr must be above 0, got 0"):
        settings.above(Config(lr=0.0), lr=0)
