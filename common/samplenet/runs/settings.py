"""Settings of a script: a dataclass, overridden by a YAML preset and then by flags."""

import argparse
import dataclasses
import difflib
import math
import operator
import reprlib
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path

from samplenet.errors import InputError, needs_extra
from samplenet.pretrained import task_folder
from samplenet.runs.parser import Parser
from samplenet.runs.schedules import SCHEDULES

with needs_extra("train"):
    import yaml

# shows values in errors: a YAML file of a few lines can hold a value of endless text (aliases)
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 80, 80

# bounds of `option`: comparison of a value with its bound, and its words in help and errors
BOUNDS = {
    "above": (operator.gt, "above"),
    "at_least": (operator.ge, "at least"),
    "below": (operator.lt, "below"),
    "at_most": (operator.le, "at most"),
}


def option(
    default,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    path: bool | Callable[[str], Path] = False,
    filled: bool = False,
    **bounds: float,
):
    """Declare a dataclass field that is a flag: its default, help text and allowed values.

    A subclass may give only another default (`epochs: int = 250`) and keeps the rest. Lists are
    copied; one of names has each once. Bounds and choices hold for each entry of a list.

    Args:
        choices: the values allowed.
        path: whether it is a path, or a function that returns one; the path is made absolute, so
            that a saved config works from any folder.
        filled: whether a list must have an entry.
        bounds: any of above, at_least, below and at_most.
    """
    if unknown := bounds.keys() - BOUNDS.keys():
        raise TypeError(f"no such bounds: {unknown}")
    path = Path if path is True else path
    metadata = dict(help=help, choices=choices, path=path, filled=filled, bounds=bounds)
    value = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return dataclasses.field(metadata=metadata, **value)


def metadata(cls, name: str) -> typing.Mapping:
    """Return a field's `option` arguments, from `cls` or its nearest base class that gives them."""
    for base in cls.__mro__:
        field = vars(base).get("__dataclass_fields__", {}).get(name)
        if field and field.metadata:
            return field.metadata
    return {}


@dataclasses.dataclass
class RunConfig:
    """Settings of every training script; each adds its own fields and published defaults."""

    out: str = option("", "run folder", path=True)
    epochs: int = option(500, "passes over the training set", at_least=1)
    # batch norm needs two
    batch_size: int = option(32, "clouds, or pairs of clouds, per step, B", at_least=2)
    lr: float = option(1e-3, "Adam's first learning rate", above=0)
    lr_schedule: str = option(
        "step",
        "'step' (published), 'cosine' (short runs) or 'poly' (SR-UNet's)",
        choices=SCHEDULES,
    )
    lr_decay: float = option(1.0, "factor of the step schedule; 1: a constant rate", at_least=0)
    lr_decay_samples: int = option(
        200_000, "clouds, or pairs, between two steps of the schedule", at_least=1
    )
    checkpoint_epochs: int = option(
        1, "epochs between two checkpoints, each judged on held-out clouds", at_least=1
    )
    seed: int = option(
        0, "of weights, order of the data and augmentation", at_least=0, at_most=2**32 - 1
    )
    resume: bool = option(False, "continue the run in --out if there is one")
    deterministic: bool = option(False, "same device, same seed: same weights, bit for bit")


@dataclasses.dataclass
class DataConfig(RunConfig):
    """Settings of a script that chooses its data; a sampler's uses those of its task network."""

    data_root: str | None = option(
        None, "data set folder in its own layout; default: the built-in shapes", path=True
    )
    shapes_per_class: int = option(
        100, "built-in shapes: training shapes a class (and 2 test shapes for every 5)", at_least=1
    )
    num_points: int = option(1024, "points used of each cloud, N", at_least=1)


@dataclasses.dataclass
class SamplerConfig(RunConfig):
    """Add the settings of every script that trains a sampler for a frozen task network."""

    task: str = option(
        "",
        "run folder of the trained task network, or the library's by name; the sampler trains on "
        "its data",
        path=task_folder,
    )
    data_root: str | None = option(
        None,
        "new folder of the task network's data set, if it has moved (for a new run)",
        path=True,
    )
    sample_sizes: list[int] = option(
        [64], "sample size m; several: a progressive sampler", at_least=1
    )
    over_sizes: str = option("sum", "reduction of several sizes' losses", choices=("sum", "mean"))
    projection: bool = option(True, "soft projection in training; without it, it is S-NET")
    k: int = option(8, "neighbours of the soft projection", at_least=1)
    alpha: float = option(1.0, "weight of the simplification loss", at_least=0)
    lmbda: float = option(1.0, "weight of the projection loss", at_least=0)
    beta: float = option(1.0, "simplification loss: weight of the largest distance", at_least=0)
    gamma: float = option(1.0, "simplification loss: weight of the input's coverage", at_least=0)
    delta: float = option(0.0, "simplification loss: adds delta * m to gamma", at_least=0)

    def largest_size(self, num_points: int) -> int:
        """Return the sampler's m, the largest of `sample_sizes`.

        Raises:
            InputError: sizes or k that clouds of `num_points` do not allow, or equal sizes.
        """
        limit = f"[1, the task network's N] = [1, {num_points}]"
        for m in self.sample_sizes:
            if not 1 <= m <= num_points:
                raise InputError(f"--sample-sizes must be in {limit}, got {m}")
        if len(set(self.sample_sizes)) < len(self.sample_sizes) or not self.sample_sizes:
            raise InputError(f"--sample-sizes must be sizes that differ, got {self.sample_sizes}")
        if self.projection and self.k > num_points:
            raise InputError(f"--k must be in {limit}, got {self.k}")
        return max(self.sample_sizes)


def checkout() -> Path:
    """Return the folder above the running script's: the checkout, if the script is in one."""
    return Path(sys.argv[0]).resolve().parent.parent  # parents[1] would fail for "python -c" in /


def load(cls, argv: list[str] | None = None, description: str = ""):
    """Build `cls` from its defaults, the file given by --config, and the flags in `argv`.

    A preset file has one section per script, named after it, and holds only differences:

        train_classifier:
          epochs: 12

    A flat file of fields, such as a run folder's config.yaml, is read as well. Every field is a
    flag in kebab case.

    Raises:
        InputError: a section or field is unknown, or a value is of the wrong type or out of bounds.
    """
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="YAML preset; flags win over it")
    kinds, defaults = typing.get_type_hints(cls), cls()
    for field in dataclasses.fields(cls):
        if kinds[field.name] in (bool, bool | None):
            options = {"action": argparse.BooleanOptionalAction}
        elif typing.get_origin(kinds[field.name]) is list:
            options = {"nargs": "+", "metavar": "X"}
        else:
            options = {"metavar": "X"}
        options["help"] = _help(metadata(cls, field.name), getattr(defaults, field.name))
        # suppressed, so that a flag that is not given leaves the preset's value
        parser.add_argument(
            _flag(field.name), dest=field.name, default=argparse.SUPPRESS, **options
        )
    flags = vars(parser.parse_args(argv))
    flags.pop("debug", None)  # `samplenet.runs.script.main` looks for it
    file = flags.pop("config")
    values = _read(cls, Path(file)) if file else {}
    for name, text in flags.items():
        values[name] = _value(cls, name, _flag(name), text)
    for field in dataclasses.fields(cls):
        value = values.get(field.name)
        path = metadata(cls, field.name).get("path")
        if path and value is not None:
            if not value or "\0" in value:
                wrong = "holds a null character" if value else "is empty"
                raise InputError(f"{_flag(field.name)} {wrong}; name a folder or leave it out")
            values[field.name] = str(path(value).resolve())
    return cls(**values)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _help(metadata: typing.Mapping, default) -> str:
    """Return the help text of a flag, with its default, bounds and choices."""
    details = [f"default: {default}"]
    details += [f"{BOUNDS[name][1]} {bound}" for name, bound in metadata.get("bounds", {}).items()]
    if metadata.get("choices"):
        details.append(f"one of {', '.join(metadata['choices'])}")
    return f"{metadata.get('help', '')} ({'; '.join(details)})".replace("%", "%%")


def read(cls, path: Path):
    """Read settings written by `dump`; InputError if the file is damaged or another script's."""
    return cls(**_read(cls, path))


def _read(cls, path: Path) -> dict:
    """Read the fields that a YAML file sets, from the script's section if it has sections."""
    script = Path(sys.argv[0])
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from error
    # besides its own error the parser raises ValueError for no UTF-8, for 2026-02-30 and for 0b_
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        got = type(content).__name__
        raise InputError(f"{path} must hold fields or sections of fields, got {got}")
    if any(isinstance(value, dict) for value in content.values()):
        for section in content:
            if not (script.parent / f"{section}.py").is_file():
                raise InputError(
                    f"{path}: section {section!r} names no script beside {script.name}"
                )
        content = content.get(script.stem) or {}
        if not isinstance(content, dict):
            got = SHORT.repr(content)
            raise InputError(f"{path}: section {script.stem!r} must hold fields, got {got}")
    kinds = typing.get_type_hints(cls)
    for name in content:
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(kinds)}"
            raise InputError(f"{path}: unknown key {name!r}; {hint}")
    return {name: _value(cls, name, f"{path}: {name}", value) for name, value in content.items()}


def _value(cls, name: str, where: str, value):
    """Convert a field's YAML or command line value, and check it; errors begin with `where`."""
    value = convert(where, typing.get_type_hints(cls)[name], value)
    allowed = metadata(cls, name)
    if value == [] and allowed.get("filled"):
        raise InputError(f"{where} is empty: name at least one")
    names = [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
    if len({*names}) < len(names):
        raise InputError(f"{where} names {max(names, key=names.count)!r} twice: name each once")
    for entry in value if isinstance(value, list) else [value]:
        if entry is None:
            continue
        for bound, limit in allowed.get("bounds", {}).items():
            holds, words = BOUNDS[bound]
            if not holds(entry, limit):
                raise InputError(f"{where} must be {words} {limit}, got {entry}")
        choices = allowed.get("choices")
        if choices and entry not in choices:
            raise InputError(f"{where} must be one of {', '.join(choices)}, got {entry!r}")
    return value


def convert(where: str, kind, value):
    """Convert a YAML or command line value to a type; an InputError begins with `where`.

    Args:
        kind: int, float, str, bool, a list of these, or any of these | None.
    """
    if isinstance(kind, types.UnionType):
        if value is None or value == "none":
            return None
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    if typing.get_origin(kind) is list:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, got {SHORT.repr(value)}")
        return [convert(where, typing.get_args(kind)[0], v) for v in value]
    if kind in (str, bool) and isinstance(value, kind):
        return value
    number = _number(kind, value) if kind in (int, float) else None
    if number is None:
        name = "a finite number" if kind is float else kind.__name__
        raise InputError(f"{where} must be {name}, got {SHORT.repr(value)}")
    return number


def _number(kind, value) -> int | float | None:
    """Convert a value to an int or a finite float; None if it is neither."""
    if isinstance(value, bool):  # a bool is an int in Python
        return None
    try:
        number = kind(value)  # strings too: they are what flags are, and YAML reads 1e-3 as one
    except (TypeError, ValueError, OverflowError):
        return None
    # int(1.5) drops the half; int("1.5") has raised
    exact = math.isfinite(number) if kind is float else isinstance(value, str) or number == value
    return number if exact else None


def dump(config) -> str:
    """Format the resolved settings as YAML, which --config reads."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)
