"""Settings of a script: dataclass defaults <- YAML preset <- command line flags."""

import argparse
import dataclasses
import difflib
import math
import operator
import reprlib
import sys
import types
import typing
from pathlib import Path

from samplenet.errors import InputError, needs_extra
from samplenet.runs.parser import Parser
from samplenet.runs.schedules import SCHEDULES

with needs_extra("train"):
    import yaml

SHORT = reprlib.Repr()  # shows a value from a file, whose YAML aliases may make it endless
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 80, 80

# bounds of `option`: how a value is compared with its bound, and how that is said
BOUNDS = {
    "above": (operator.gt, "above"),
    "at_least": (operator.ge, "at least"),
    "below": (operator.lt, "below"),
    "at_most": (operator.le, "at most"),
}


def option(
    default, help: str, *, choices: tuple[str, ...] = (), path: bool = False, **bounds: float
):
    """Make a dataclass field that is a flag: its default, its help text and what values it takes.

    A subclass that gives another default alone (`epochs: int = 250`) keeps the rest. Lists are copied. Bounds and
    choices hold for each entry of a list.

    Args:
        choices: the values allowed.
        path: the value is a path. Paths are made absolute, so that a saved config works from any folder.
        bounds: any of above, at_least, below and at_most.
    """
    if unknown := bounds.keys() - BOUNDS.keys():
        raise TypeError(f"no such bounds: {unknown}")
    metadata = {"help": help, "choices": choices, "path": path, "bounds": bounds}
    value = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return dataclasses.field(metadata=metadata, **value)


def metadata(cls, name: str) -> typing.Mapping:
    """What `option` was given for a field: by `cls`, or by the nearest base class that says it."""
    fields = (vars(base).get("__dataclass_fields__", {}).get(name) for base in cls.__mro__)
    return next((field.metadata for field in fields if field and field.metadata), {})


@dataclasses.dataclass
class RunConfig:
    """What every training script takes; each adds its own fields and its published defaults."""

    out: str = option("", "run folder", path=True)
    epochs: int = option(500, "passes over the training set", at_least=1)
    batch_size: int = option(
        32, "clouds, or pairs of clouds, a step, B", at_least=2
    )  # batch norm needs two
    lr: float = option(1e-3, "Adam's first learning rate", above=0)
    lr_schedule: str = option(
        "step", "'step' (published) or 'cosine' (short runs)", choices=SCHEDULES
    )
    lr_decay: float = option(1.0, "factor of the step schedule; 1: a constant rate", at_least=0)
    lr_decay_samples: int = option(200_000, "clouds, or pairs, between its steps", at_least=1)
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
    """Those of a script that chooses its data; one that follows another run takes that run's."""

    data_root: str | None = option(
        None, "data set folder in its own layout; default: the built-in shapes", path=True
    )
    shapes_per_class: int = option(
        100, "built-in shapes: training shapes a class (and 2 test shapes for each 5)", at_least=1
    )
    num_points: int = option(1024, "points of each cloud that are used, N", at_least=1)


@dataclasses.dataclass
class SamplerConfig(RunConfig):
    """Add the settings of every script that trains a sampler for a frozen task network."""

    task: str = option(
        "", "run folder of the trained task network, whose data the sampler trains on", path=True
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
    """Guess the repository's root from the running script, as classification/train_classifier.py."""
    return Path(sys.argv[0]).resolve().parent.parent  # parents[1] would fail for "python -c" in /


def load(cls, argv: list[str] | None = None, description: str = ""):
    """Build `cls` from its defaults, the file given by --config, and the flags in `argv`.

    A preset file has one section a script, named after it, and holds only differences:

        train_classifier:
          epochs: 12

    A flat file of fields, as a run folder's config.yaml, is read as well. Every field is a flag in kebab
    case.

    Raises:
        InputError: unknown section or field, a value of the wrong type or outside its bounds, by name.
    """
    script = Path(sys.argv[0])
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="YAML preset; flags win over it")
    kinds, defaults = typing.get_type_hints(cls), cls()
    for field in dataclasses.fields(cls):
        text = _help(metadata(cls, field.name), getattr(defaults, field.name))
        common = {"dest": field.name, "default": argparse.SUPPRESS, "help": text}
        if kinds[field.name] is bool:
            parser.add_argument(_flag(field.name), action=argparse.BooleanOptionalAction, **common)
        elif typing.get_origin(kinds[field.name]) is list:
            parser.add_argument(_flag(field.name), nargs="+", metavar="X", **common)
        else:
            parser.add_argument(_flag(field.name), metavar="X", **common)
    flags = vars(parser.parse_args(argv))
    flags.pop("debug", None)  # `samplenet.runs.script.main` looks for it
    file = flags.pop("config")
    values = _read(cls, Path(file), script) if file else {}
    for name, text in flags.items():
        values[name] = _value(cls, name, _flag(name), text)
    for field in dataclasses.fields(cls):
        value = values.get(field.name)
        if metadata(cls, field.name).get("path") and value is not None:
            if not value or "\0" in value:
                wrong = "holds a null character" if value else "is empty"
                raise InputError(f"{_flag(field.name)} {wrong}; name a folder or leave it out")
            values[field.name] = str(Path(value).resolve())
    return cls(**values)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _help(metadata: typing.Mapping, default) -> str:
    """The help text of a flag: what it is, its default, its bounds and choices."""
    details = [f"default: {default}"]
    details += [f"{BOUNDS[name][1]} {bound}" for name, bound in metadata.get("bounds", {}).items()]
    if metadata.get("choices"):
        details.append(f"one of {', '.join(metadata['choices'])}")
    return f"{metadata.get('help', '')} ({'; '.join(details)})".replace("%", "%%")


def read(cls, path: Path):
    """Read the settings that `dump` wrote; InputError when the file is damaged or of another script."""
    return cls(**_read(cls, path, Path(sys.argv[0])))


def _read(cls, path: Path, script: Path) -> dict:
    """Read the fields of `cls` that a YAML file sets."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: no UTF-8, no such date, 0b_
        raise InputError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise InputError(
            f"{path} must hold fields or sections of fields, got {type(content).__name__}"
        )
    if any(isinstance(value, dict) for value in content.values()):
        for section in content:
            if not (script.parent / f"{section}.py").is_file():
                raise InputError(
                    f"{path}: section {section!r} names no script beside {script.name}"
                )
        content = content.get(script.stem) or {}
        if not isinstance(content, dict):
            raise InputError(
                f"{path}: section {script.stem!r} must hold fields, got {SHORT.repr(content)}"
            )
    kinds = typing.get_type_hints(cls)
    for name in content:
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(kinds)}"
            raise InputError(f"{path}: unknown key {name!r}; {hint}")
    return {name: _value(cls, name, f"{path}: {name}", value) for name, value in content.items()}


def _value(cls, name: str, where: str, value):
    """A YAML or command line value of a field, converted and checked."""
    value = convert(where, typing.get_type_hints(cls)[name], value)
    allowed = metadata(cls, name)
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
    """Convert a YAML or command line value to `kind` (int, float, str, bool, list[...] or one of these | None)."""
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
    """`value` as an int or a finite float; None if it is neither."""
    if isinstance(value, bool):  # Python counts with them
        return None
    try:
        number = kind(value)  # a string too: YAML reads 1e-3 as one
    except (TypeError, ValueError, OverflowError):
        return None
    if kind is float:
        return number if math.isfinite(number) else None
    return number if isinstance(value, str) or number == value else None  # int(1.5) drops the half


def dump(config) -> str:
    """Write the resolved settings as YAML, readable by --config."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)
