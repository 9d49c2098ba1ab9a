"""Settings of a script: dataclass defaults <- YAML preset <- command line flags."""

import argparse
import dataclasses
import difflib
import math
import reprlib
import sys
import types
import typing
from pathlib import Path

import yaml

from samplenet.errors import InputError

BRIEF = reprlib.Repr()  # of a value from a file, whose aliases may make it endless
BRIEF.maxlevel, BRIEF.maxstring, BRIEF.maxother = 2, 80, 80


def option(default, help: str, path: bool = False):
    """A dataclass field with its help text. Lists are copied; a path is kept absolute, so that it stays true."""
    make = {"default_factory": default.copy} if isinstance(default, list) else {"default": default}
    return dataclasses.field(metadata={"help": help, "path": path}, **make)


@dataclasses.dataclass
class RunConfig:
    """What every training script takes; each adds its own fields."""

    out: str = option("", "run folder", True)
    batch_size: int = option(32, "clouds a step, B")
    seed: int = option(0, "of weights, order of the data and augmentation")
    resume: bool = option(False, "continue the run in --out if there is one")
    deterministic: bool = option(False, "same device, same seed: same weights, bit for bit")


@dataclasses.dataclass
class DataConfig(RunConfig):
    """Those of a script that chooses its data; one that follows another run takes that run's."""

    data_root: str | None = option(None, "data set folder in its own layout; without it, the built-in shapes", True)
    shapes_per_class: int = option(100, "built-in shapes: training shapes a class (and 2 test shapes for each 5)")
    num_points: int = option(1024, "points of each cloud that are used, N")


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence, without the pages of usage that argparse puts before it."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; --help lists the flags\n")


def checkout() -> Path:
    """The repository's root, seen from the running script (classification/train_classifier.py and its like)."""
    return Path(sys.argv[0]).resolve().parent.parent  # parents[1] would fail for "python -c" in /


def load(cls, argv: list[str] | None = None, description: str = ""):
    """Build `cls` from its defaults, the file given by --config, and the flags in `argv`.

    A preset file has one section a script, named after it, and holds only differences:

        train_classifier:
          epochs: 12

    A flat file of fields, as a run folder's config.yaml, is read as well. Every field is a flag in kebab
    case. --debug is left in the arguments for `samplenet.runs.script.main`.

    Raises:
        InputError: unknown section or field, or a value of the wrong type, by name.
    """
    script = Path(sys.argv[0])
    parser = Parser(description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="YAML preset; flags win over it")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    kinds = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        flag, kind = "--" + field.name.replace("_", "-"), kinds[field.name]
        text = f"{field.metadata.get('help', '')} (default: {getattr(cls(), field.name)})".replace("%", "%%")
        common = {"dest": field.name, "default": argparse.SUPPRESS, "help": text}
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        elif typing.get_origin(kind) is list:
            parser.add_argument(flag, nargs="+", metavar="X", **common)
        else:
            parser.add_argument(flag, metavar="X", **common)
    flags = vars(parser.parse_args(argv))
    file, _ = flags.pop("config"), flags.pop("debug")
    values = _read(cls, Path(file), script) if file else {}
    values |= {name: _convert(f"--{name.replace('_', '-')}", kinds[name], v) for name, v in flags.items()}
    for field in dataclasses.fields(cls):
        value = values.get(field.name)
        if field.metadata.get("path") and value is not None:
            if not value or "\0" in value:
                wrong = "holds a null character" if value else "is empty"
                raise InputError(f"--{field.name.replace('_', '-')} {wrong}; name a folder or leave it out")
            values[field.name] = str(Path(value).resolve())
    return cls(**values)


def read(cls, path: Path):
    """The settings that `dump` wrote; InputError when the file is damaged or of another script."""
    return cls(**_read(cls, path, Path(sys.argv[0])))


def _read(cls, path: Path, script: Path) -> dict:
    """The fields of `cls` that a YAML file sets."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no such date, 0b_
        raise InputError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold fields or sections of fields, got {type(content).__name__}")
    if any(isinstance(value, dict) for value in content.values()):
        for section in content:
            if not (script.parent / f"{section}.py").is_file():
                raise InputError(f"{path}: section {section!r} names no script beside {script.name}")
        content = content.get(script.stem) or {}
        if not isinstance(content, dict):
            raise InputError(f"{path}: section {script.stem!r} must hold fields, got {BRIEF.repr(content)}")
    kinds = typing.get_type_hints(cls)
    for name in content:
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(kinds)}"
            raise InputError(f"{path}: unknown key {name!r}; {hint}")
    return {name: _convert(f"{path}: {name}", kinds[name], value) for name, value in content.items()}


def _convert(where: str, kind, value):
    """A YAML or command line value as `kind` (int, float, str, bool, list[...] or one of these | None)."""
    if isinstance(kind, types.UnionType):
        if value is None or value == "none":
            return None
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    if typing.get_origin(kind) is list:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, got {BRIEF.repr(value)}")
        return [_convert(where, typing.get_args(kind)[0], v) for v in value]
    if kind is str and isinstance(value, str) or kind is bool and isinstance(value, bool):
        return value
    if kind in (int, float) and not isinstance(value, bool):
        try:
            number = kind(value)  # YAML reads 1e-3 as a string
            if math.isfinite(number) if kind is float else isinstance(value, str) or number == value:
                return number
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(
        f"{where} must be {'a finite number' if kind is float else kind.__name__}, got {BRIEF.repr(value)}"
    )


def dump(config) -> str:
    """The resolved settings as YAML, readable by --config."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False)


def at_least(config, **lowest) -> None:
    """Raise InputError unless each named field (or each entry of a list) is at least its value."""
    _bound(config, lowest, "at least", lambda value, low: value >= low)


def above(config, **bounds) -> None:
    """Raise InputError unless each named field (or each entry of a list) is greater than its value."""
    _bound(config, bounds, "above", lambda value, low: value > low)


def at_most(config, **highest) -> None:
    """Raise InputError unless each named field (or each entry of a list) is at most its value."""
    _bound(config, highest, "at most", lambda value, high: value <= high)


def _bound(config, bounds: dict, word: str, holds) -> None:
    for name, bound in bounds.items():
        value = getattr(config, name)
        if not all(holds(v, bound) for v in (value if isinstance(value, list) else [value])):  # false for NaN
            raise InputError(f"--{name.replace('_', '-')} must be {word} {bound}, got {value}")


def one_of(config, **allowed) -> None:
    """Raise InputError unless each named field has one of its allowed values."""
    for name, values in allowed.items():
        if (value := getattr(config, name)) not in values:
            raise InputError(f"--{name.replace('_', '-')} must be one of {', '.join(values)}, got {value!r}")
