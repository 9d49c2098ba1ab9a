"""Judge the samples that `samplenet sample` took of the files of make.py.

python judge.py FOLDER, in the environment of requirements.txt. FOLDER/runs.json is the manifest
with each run's exit `code`, its messages (`said`), its `output`, and the `index` that a second run
wrote. plyfile, laspy, pypcd4, Open3D, PCL and NumPy read the files. Writes FOLDER/verdicts.json,
which adds `verdict` and `why`.
"""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import laspy
import numpy as np
import open3d
import plyfile
import pypcd4

LIBRARY_WORDS = re.compile(
    r"Traceback|\w(Error|Exception|Warning)\b|pydantic|codec|invalid literal|could not convert"
    r"|dtype|<class|Errno|buffer|unpack|NoneType|object has no|ndarray|lazrs|plyfile|pypcd4"
    r"|struct\b|allow_pickle|literal_eval|utf-8'|index out of|list index|<U\d|position \d|\bnp\."
    r"|0x\w{6}"
)
COLOURS, NORMALS = ("red", "green", "blue"), ("nx", "ny", "nz")


def split_ply(path):
    data = path.read_bytes()
    end = data.index(b"end_header")
    return data[:end], data[end:]


def table(path):
    """Return the columns of a file by name, as a library of its format reads them."""
    suffix = path.suffix.lower()
    if suffix == ".ply":
        header, rest = split_ply(path)
        ascii_header = re.sub(rb"[\x80-\xff]", b"?", header)  # plyfile takes no other
        vertex = plyfile.PlyData.read(io.BytesIO(ascii_header + rest))["vertex"]
        return {p.name: vertex[p.name] for p in vertex.properties}
    if suffix in (".las", ".laz"):
        las = laspy.read(path)
        return {
            name: np.array(las[name]) for name in ("x", "y", "z", *las.point_format.dimension_names)
        }
    if suffix == ".pcd":
        return pcd_columns(path)
    if suffix in (".npy", ".npz"):
        array = np.load(path)
        pack = {"points": array} if suffix == ".npy" else dict(array)
        points = pack.pop(
            "points" if "points" in pack else "positions"
        )  # the latter is Open3D's name
        names = points.dtype.names or [
            "xyz"[i] if i < 3 else f"c{i}" for i in range(points.shape[1])
        ]
        rows = {
            name: points[name if points.dtype.names else (..., i)] for i, name in enumerate(names)
        }
        return rows | {
            name: value for name, value in pack.items() if value.ndim and len(value) == len(points)
        }
    lines = [
        re.split("#|//", line)[0].strip(" \t,;")
        for line in path.read_text("utf-8-sig", "replace").splitlines()
    ]
    cells = [re.split(r"[;\s]+" if ";" in line else r"[,\s]+", line) for line in lines if line]
    cells = cells[1:] if re.search("[A-Za-z]", "".join(cells[0]).replace("nan", "")) else cells
    values = np.array(
        [[float(cell.replace(",", ".")) for cell in row] for row in cells if len(row) > 2]
    )
    return {"xyz"[i] if i < 3 else f"c{i}": column for i, column in enumerate(values.T)}


def pcd_columns(path):
    """Return the fields of a PCD file.

    pypcd4 reads only the compressed files: it refuses some headers of PCL and Open3D.
    """
    data = path.read_bytes()
    start = data.index(b"\n", data.index(b"\nDATA") + 1) + 1
    head = {
        words[0]: words[1:]
        for line in data[:start].decode("latin-1").splitlines()
        if (words := line.split())
    }
    counts = [int(count) for count in head.get("COUNT", ["1"] * len(head["FIELDS"]))]
    types = [f"{t.lower()}{size}" for t, size in zip(head["TYPE"], head["SIZE"], strict=True)]
    names = [f"_{i}" if name == "_" else name for i, name in enumerate(head["FIELDS"])]
    kind = np.dtype(
        [(n, t, (c,) if c > 1 else ()) for n, t, c in zip(names, types, counts, strict=True)]
    )
    if head["DATA"] == ["ascii"]:
        rows = np.zeros(int(head["POINTS"][0]), kind)
        cells = np.array(
            [line.split() for line in data[start:].splitlines() if line.strip()], np.float64
        )
        for name, end, count in zip(names, np.cumsum(counts), counts, strict=True):
            rows[name] = cells[:, end - count : end].reshape(rows[name].shape)
    elif head["DATA"] == ["binary"]:
        rows = np.frombuffer(data[start:], kind, int(head["POINTS"][0]))
    else:
        rows = pypcd4.PointCloud.from_path(path).pc_data
    return {name: rows[name] for name in rows.dtype.names if not name.startswith("_")}


def by_ply_names(columns):
    """Add the colours and normals of columns under the names of PLY."""
    named = dict(columns)
    packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
    if packed is not None:
        bits = packed.astype("f4").view("u4") if packed.dtype.kind == "f" else packed.astype("u4")
        named |= dict(zip(COLOURS, (bits >> 16 & 255, bits >> 8 & 255, bits & 255), strict=True))
    for array, names in (("colors", COLOURS), ("normals", NORMALS)):
        named |= dict(zip(names, columns[array].T, strict=True)) if array in columns else {}
    named |= {
        f"n{axis}": columns[f"normal_{axis}"] for axis in "xyz" if f"normal_{axis}" in columns
    }
    if "red" in named and named["red"].dtype == np.uint16:
        named |= {name: named[name] >> 8 for name in COLOURS}
    return named


def same(a, b):
    a, b = np.squeeze(a), np.squeeze(b)
    if a.dtype == b.dtype == object:
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def like(wanted, got):
    """Return whether values are the same, perhaps as colours in the units of another format."""
    scaled = np.asarray(wanted, np.float64) if np.asarray(wanted).dtype != object else None
    return same(wanted, got) or (
        scaled is not None and (same(np.round(scaled * 255), got) or same(scaled * 257, got))
    )


def faults_of_sample(run, folder):
    """Return a sentence for each fault of a sample."""
    path, output, said = (
        folder / run["file"],
        folder / run["output"],
        run["said"].replace(str(folder), ""),
    )
    index, holds, got = np.load(folder / run["index"]), path.with_name("holds.npz"), table(output)
    whole = dict(np.load(holds)) if holds.exists() else table(path)
    if not len(index) == len(got["x"]) == len(set(index.tolist())) or index.max() >= len(
        whole["x"]
    ):
        indices = f"{len(set(index.tolist()))} indices to {index.max()} of {len(whole['x'])} points"
        return [f"{len(got['x'])} rows, {indices}"]
    xyz, mine = (
        np.stack([np.asarray(rows[axis], "f8") for axis in "xyz"]) for rows in (whole, got)
    )
    left_out = int((~np.isfinite(xyz)).any(0).sum())
    faults = (
        [f"does not say that {left_out} points are left out"]
        if left_out and f" {left_out} " not in said
        else []
    )
    faults += [] if np.isfinite(xyz[:, index]).all() else ["samples points that are not finite"]
    most = 0.0005 if output.suffix in (".las", ".laz") else 6e-8 * np.abs(mine).max()
    off = 0 if same(xyz[:, index], mine) else np.abs(xyz[:, index] - mine).max()
    if not (
        off == 0 or (off <= most and re.search("(x, y|coordinates).*(float32|round|scale)", said))
    ):
        faults.append(f"coordinates differ by up to {off:.3g}, and nothing says so")
    converted = run["clause"].startswith("8 ")
    got = by_ply_names(got) if holds.exists() else got
    for name in whole:
        wanted = np.asarray(whole[name])[index]
        if (
            holds.exists()
        ):  # then names may differ, but for those of a format that has names of its own
            near = [name] if converted and run["out"] not in (".npy", ".xyz") else got
            kept = any(like(wanted, got[n]) for n in near if n in got)
        else:
            kept = name in got and same(got[name], wanted)
            kept = kept and got[name].dtype.newbyteorder("=") == wanted.dtype.newbyteorder("=")
        if not (
            kept
            or name in "xyz"
            or re.search(rf"\b{name}\b.*(dropped|left out|became|rounded|written)", said)
        ):
            faults.append(f"column {name} is lost or changed, and nothing says so")
    faults += faults_of_header(path, output, said)
    return faults + (faults_seen_elsewhere(output, whole, index) if converted else [])


def faults_of_header(path, output, said):
    faults, formats = [], {path.suffix.lower(), output.suffix}
    if formats == {".ply"}:
        lines = [
            re.findall(rb"(?m)^(?:comment|obj_info) ?([^\r\n]*)", split_ply(file)[0])
            for file in (path, output)
        ]
        kept = {
            line.decode("utf-8", "ignore").encode("latin-1", "ignore") for line in lines[1]
        } | set(lines[1])
        faults += [
            f"comment {line!r} lost"
            for line in lines[0]
            if line not in kept and "comment" not in said
        ]
    if formats == {".pcd"}:
        views = [re.search(rb"VIEWPOINT ([^\n\r]*)", file.read_bytes()) for file in (path, output)]
        poses = [view and [float(number) for number in view[1].split()] for view in views]
        faults += (
            [f"viewpoint {poses[0]} became {poses[1]}"] if poses[0] not in (None, poses[1]) else []
        )
    if formats <= {".las", ".laz"}:
        with laspy.open(path) as old, laspy.open(output) as new:
            for what in ("version", "point_format", "scales", "offsets", "system_identifier"):
                before, after = getattr(old.header, what), getattr(new.header, what)
                faults += (
                    []
                    if np.array_equal(before, after)
                    else [f"{what} of the header {before} became {after}"]
                )
            before, after = (
                {(v.user_id, v.record_id) for v in las.header.vlrs} for las in (old, new)
            )
            lost = {
                record for record in before - after if record[0] not in ("copc", "laszip encoded")
            }
            faults += [f"records {lost} lost"] if lost and "record" not in said else []
            start = new.header.start_of_waveform_data_packet_record
            if (
                new.header.global_encoding.waveform_data_packets_internal
                and not 0 < start < output.stat().st_size
            ):
                faults.append("header points at waveforms that are not there")
    return faults


def faults_seen_elsewhere(output, whole, index):
    """Return a sentence for each quantity that Open3D or PCL misreads in a converted file."""
    if output.suffix not in (".ply", ".pcd"):
        return []
    want = by_ply_names({name: np.asarray(values)[index] for name, values in whole.items()})
    cloud = open3d.io.read_point_cloud(str(output))
    seen = {
        "points": np.asarray(cloud.points)[:, 0],
        "colours": np.round(np.asarray(cloud.colors)[:, :1] * 255).squeeze(),
    }
    seen["normals"] = np.asarray(cloud.normals)[:, :1].squeeze()
    faults = [
        f"Open3D reads other {what}"
        for what, name in (("points", "x"), ("colours", "red"), ("normals", "nx"))
        if name in want
        and not (
            seen[what].shape == want[name].shape and np.allclose(seen[what], want[name], rtol=1e-6)
        )
    ]
    program = "pcl_convert_pcd_ascii_binary" if output.suffix == ".pcd" else "pcl_ply2pcd"
    if shutil.which(program):
        there, again = output.with_name("pcl.pcd"), {}
        subprocess.run(
            [program, output, there, *(["1"] if output.suffix == ".pcd" else [])],
            capture_output=True,
        )
        with contextlib.suppress(Exception):  # what PCL did not write shows as other colours
            again = by_ply_names(table(there))
        names = [name for name in (*COLOURS, *NORMALS) if name in want]
        faults += [
            f"PCL reads another {n}"
            for n in names
            if not same(again.get(n, 0), want[n].astype("f4"))
        ]
    return faults


def unclear(said, name):
    """Return why a message is not understood at once, or None."""
    if found := LIBRARY_WORDS.search(said) or re.search(r"(?m)^(?!samplenet: |$).*", said):
        return f"words from inside a library: {found[0]!r}"
    text = re.sub(rf"\S*{re.escape(name)}", "F", said)
    too_long = len(re.findall(r"[.!?](?=\s|$)", text)) > 2 or len(text) > 400
    return "does not name the file" if "F" not in text else "too long" if too_long else None


def verdict(run, folder):
    if run["code"] == 0:
        if run["refuse"] is True:
            return "wrong", "sampled what is no whole cloud"
        try:
            faults = faults_of_sample(run, folder)
        except Exception as error:  # an output that the libraries cannot read is a fault of it
            faults = [f"cannot be judged: {type(error).__name__}: {error}"]
        reason = unclear(run["said"], "") if run["said"] else None
        return (
            ("wrong", "; ".join(faults))
            if faults
            else ("unclear", reason)
            if reason
            else ("fine", "")
        )
    reason = unclear(run["said"], Path(run["file"]).name)
    reason = reason or (f"exit code {run['code']}" if run["code"] != 2 else None)
    reason = reason or ("left an output" if (folder / run["output"]).exists() else None)
    return (
        ("unclear", reason)
        if reason
        else ("refused clearly" if run["refuse"] else "valid but refused", "")
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    root = Path(sys.argv[1]).resolve()
    runs = json.loads((root / "runs.json").read_text())
    for entry in runs:
        entry["verdict"], entry["why"] = verdict(entry, root)
    (root / "verdicts.json").write_text(json.dumps(runs, indent=1))
