"""Draw every mesh of a source and write a data set of pictures, in several processes."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tqdm import tqdm

from samplenet.atomic import beside, write_json
from samplenet.data.views import files, rays, truths
from samplenet.data.views.drawing import Drawing, random_cameras, splits_of, write_lists
from samplenet.data.views.meshes import BuiltIn, ObjFolder, stream
from samplenet.errors import InputError
from samplenet.locking import locked
from samplenet.processes import each


def make(
    source: BuiltIn | ObjFolder,
    out: Path,
    drawing: Drawing,
    lists: Sequence[Path] = (),
    processes: int = 1,
) -> list[str]:
    """Write pictures, ground truth and splits of all models; continue where an earlier call ended.

    A model's folder `<out>/<synset>/<model>` (see `files`) appears when it is complete, after its
    cloud `<out>/gt/<synset>/<model>.mat`. `<out>/splits/<synset>_{train,val,test}.txt` come last,
    without the models that were left out. Of several processes one draws; the others wait for it.

    Args:
        lists: files `<synset>_<split>.txt` to take splits from, of models, one a line. Of their
            synsets only these models are drawn; the other synsets' splits are random.

    Returns:
        A sentence on each model that was left out.

    Raises:
        InputError: `out` was made with other settings, a bad list, or a process was killed.
    """
    models = source.models()
    splits = splits_of(models, lists, drawing.seed)
    with locked(out):
        _same_settings(out, source, drawing)
        return _draw_all(source, out, drawing, splits, processes)


def _draw_all(
    source: BuiltIn | ObjFolder,
    out: Path,
    drawing: Drawing,
    splits: dict[str, dict[str, list[str]]],
    processes: int,
) -> list[str]:
    """Draw what is missing and write the splits; return why models were left out."""
    jobs = [(s, m) for s, parts in splits.items() for names in parts.values() for m in names]
    for synset in splits:
        (out / synset).mkdir(exist_ok=True)
        (out / "gt" / synset).mkdir(exist_ok=True, parents=True)
    bad = {}
    draw = partial(_draw, source, out, drawing)
    drawn = each(draw, jobs, processes, "--processes", chunksize=4)
    with tqdm(total=len(jobs), unit="mesh", disable=None) as bar:
        for job, reason in zip(jobs, drawn, strict=True):
            bar.update()
            if reason:
                bad[job] = reason
    for synset, parts in splits.items():
        drawn = {s: [m for m in names if (synset, m) not in bad] for s, names in parts.items()}
        write_lists(out, synset, drawn)
    return [*bad.values()]


def _draw(source: BuiltIn | ObjFolder, out: Path, drawing: Drawing, job: tuple[str, str]) -> str:
    """Write one model unless it is there; return why that cannot be, or ""."""
    synset, model = job
    folder = out / synset / model
    if folder.is_dir():
        return ""
    try:
        surface = source.surface(synset, model)
    except InputError as error:
        return str(error)
    extrinsics = random_cameras(synset, model, drawing.views, drawing.seed)
    views = rays.render(surface, extrinsics, drawing.size, drawing.samples, drawing.lit)
    cloud = surface.cloud(drawing.points, stream(drawing.seed, synset, model, use=2))
    with beside(out / "gt" / synset / f"{model}.mat") as new:
        truths.write_cloud(new, cloud if source.has_parts else cloud._replace(labels=None))
        os.replace(new, out / "gt" / synset / f"{model}.mat")
    with beside(folder) as new:
        files.write(new, views, extrinsics, source.has_parts)
        os.rename(new, folder)
    return ""


def _same_settings(out: Path, source: BuiltIn | ObjFolder, drawing: Drawing) -> None:
    """Record the settings in a new `out`; InputError if it was made with other ones."""
    settings, file = source.settings() | asdict(drawing), out / "views.json"
    out.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        if any(path.name != f"{file.name}.part" for path in out.iterdir()):  # after a kill
            raise InputError(f"{out} has other content: name an empty folder, or a new one")
        write_json(file, settings)
        return
    try:
        old = dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged: name another folder") from error
    changed = [f"{key} {old.get(key)}" for key in settings if old.get(key) != settings[key]]
    if changed:
        raise InputError(f"{out} was made with {', '.join(changed)}: name another folder")
