"""Put the page, its parts, the networks and six shapes into one folder; see build.sh."""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from samplenet import export, frozen, load_pretrained, pretrained
from samplenet.data import shapes
from samplenet.export.onnx import OPSET

HERE = Path(__file__).resolve().parent
# each the first test cloud of a class, of those that the classifier knows from the whole cloud
SHAPES = ("airplane", "bottle", "car", "chair", "sofa", "table")
SAMPLER, TASK = "classification-progressive", "classification"
SOURCES = ("index.html", "style.css", "app.js", "clouds.js", "sample.js", "view.js")
MODULES = HERE / "node_modules"
PARTS = {
    "ort.js": MODULES / "onnxruntime-web/dist/ort.wasm.min.mjs",
    "ort.loader.js": MODULES / "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "ort.wasm": MODULES / "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    "regl.js": MODULES / "regl/dist/regl.min.js",
    "regl.LICENSE.txt": MODULES / "regl/LICENSE",
}
NOTICES = {"LICENSE": "LICENSE", "ThirdPartyNotices.txt": "ThirdPartyNotices"}


def classifier(network: frozen.Network) -> onnx.ModelProto:
    """Build the frozen classifier: cloud (1, N, 3) float32, normalised -> logits (1, classes)."""
    arrays, lines, last = {}, [], "cloud"

    def dense(i: int, layer: tuple) -> None:
        """Add weight (in, out) and bias (out,)."""
        nonlocal last
        arrays[f"w{i}"], arrays[f"b{i}"] = layer
        lines.append(f"p{i} = MatMul ({last}, w{i})")
        lines.append(f"s{i} = Add (p{i}, b{i})")
        last = f"s{i}"

    def relu() -> None:
        nonlocal last
        lines.append(f"r_{last} = Relu ({last})")
        last = f"r_{last}"

    for i, layer in enumerate(network.points):
        dense(i, layer)
        relu()
    lines.append(f"pooled = ReduceMax <keepdims = 0> ({last}, axis)")
    last = "pooled"
    for i, layer in enumerate(network.head, len(network.points)):
        dense(i, layer)
        if layer is not network.head[-1]:
            relu()
    classes = len(network.head[-1][1])
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": {OPSET}], producer_name: "samplenet">
        classifier (float[1, N, 3] cloud) => (float[1, {classes}] logits)
        <int64[1] axis = {{1}}>
        {{ {" ".join(lines)} logits = Identity ({last}) }}""")
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    onnx.checker.check_model(model, full_check=True)
    return model


def check(model: onnx.ModelProto, network: frozen.Network, cloud: np.ndarray) -> None:
    """Stop if the exported classifier answers otherwise than the network in NumPy."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    (logits,) = session.run(None, {"cloud": cloud[None]})
    features = network.late_features(network.early_features(cloud))
    np.testing.assert_allclose(logits[0], network.answer(features.max(0)), rtol=1e-3, atol=1e-3)


def main(folder: Path) -> None:
    """Write the folder anew."""
    if folder.exists() and not (folder / "index.html").exists() and any(folder.iterdir()):
        sys.exit(f"build.sh: {folder} holds other files; name another folder")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("parts", "shapes"):
        (folder / part).mkdir(parents=True)
    for name in SOURCES:
        shutil.copy(HERE / name, folder)
    for name, source in PARTS.items():
        shutil.copy(source, folder / "parts" / name)
    runtime = Path(find_spec("onnxruntime").origin).parent  # its npm package has no licence text
    for source, name in NOTICES.items():
        shutil.copy(runtime / source, folder / "parts" / f"onnxruntime.{name}.txt")
    shutil.copy(HERE.parents[1] / "LICENSE", folder / "LICENSE.txt")

    export.export(load_pretrained(SAMPLER, framework="torch"), folder / "sampler.onnx")
    network = frozen.load(TASK)
    model = classifier(network)
    for name in SHAPES:
        cloud = shapes.generate(name, 0, split="test", num_points=1024)
        check(model, network, cloud)
        np.save(folder / "shapes" / f"{name}.npy", cloud)
    (folder / "classifier.onnx").write_bytes(model.SerializeToString())

    cards = [pretrained.card(SAMPLER), pretrained.task_card(TASK)]
    wanted = {card["normalisation"] for card in cards}
    if wanted != {"unit_sphere"}:
        sys.exit(f"build.sh: sample.js normalises to the unit sphere; the weights want {wanted}")
    facts = {"m": cards[0]["m"], "shapes": SHAPES, "classes": shapes.CLASSES}
    (folder / "facts.json").write_text(json.dumps(facts))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB; to look at it: samplenet try")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
