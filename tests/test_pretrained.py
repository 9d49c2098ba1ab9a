"""The trained samplers that come with the library, and those in files."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import samplenet
from samplenet import InputError, pretrained, weights
from samplenet.atomic import write_atomic
from samplenet.console import cli, pick
from samplenet.data import shapes
from samplenet.pretrained import hub, page
from samplenet.pretrained.__main__ import push
from samplenet.runs import settings
from samplenet.runs.checkpoint import digest, load_checkpoint, save_checkpoint
from samplenet.runs.evaluation import EvaluationConfig
from samplenet.runs.run import network_digest
from samplenet.sampled import Settings

NAMES = samplenet.list_weights()
CARD = {
    "m",
    "sizes",
    "num_points",
    "network",
    "experiment",
    "data",
    "normalisation",
    "command",
    "revision",
    "metrics",
}


@pytest.fixture(scope="module")
def clouds():
    """Return two clouds (2, 1024, 3) that no sampler was trained on."""
    return np.stack(
        [shapes.generate(name, 0, split="test", num_points=1024) for name in ("chair", "car")]
    )


def call(framework, sampler, clouds):
    """Return points and idx of a sampler of either framework, as arrays."""
    if framework == "torch":
        import torch

        with torch.no_grad():
            sampled = sampler(torch.from_numpy(clouds))
    else:
        sampled = sampler(clouds)
    return np.asarray(sampled.points), np.asarray(sampled.idx)


def test_some_come_with_the_library_and_are_small():
    assert {name.split("-")[0] for name in NAMES} == {
        "classification",
        "reconstruction",
        "registration",
    }
    assert sum(path.stat().st_size for path in pretrained.FOLDER.glob("*.*s*")) < 5e6


@pytest.mark.parametrize("name", NAMES)
def test_a_card_describes_the_weights(name):
    card = pretrained.card(name)
    assert set(card) >= CARD
    assert name.endswith("-progressive") == (len(card["sizes"]) > 1)
    assert {row["m"] for row in card["metrics"]} == set(card["sizes"])
    assert f"--sample-sizes {' '.join(map(str, card['sizes']))} " in card["command"]


@pytest.mark.parametrize("name", NAMES)
def test_both_frameworks_give_the_same_sample(name, clouds):
    clouds = samplenet.normalise(clouds, pretrained.card(name)["normalisation"])
    pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    pytest.importorskip("tensorflow", reason="the Keras side needs TensorFlow")
    m = 20 if name.endswith("-progressive") else None
    (points, idx), (_, same) = (
        call(framework, samplenet.load_pretrained(name, m, framework), clouds)
        for framework in ("torch", "tf")
    )
    assert idx.shape == (2, m or pretrained.card(name)["m"])
    assert all(len(set(row)) == len(row) for row in idx.tolist())
    np.testing.assert_array_equal(points, np.take_along_axis(clouds, idx[..., None].astype(int), 1))
    # rounding may tip a match between two points that are as near; nothing else may differ
    assert np.mean(idx == same) > 0.9


def test_a_file_gives_its_sampler(tmp_path, clouds):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    from samplenet.torch import SampleNet

    torch.manual_seed(0)
    sampler = SampleNet(6, k=4, conv_widths=(8, 8), fc_widths=(16,), output_order="3m").eval()
    metadata = {"sizes": [3, 6], "normalisation": "box_side"}
    weights.save(sampler, tmp_path / "sampler.safetensors", metadata)
    for path in (tmp_path, tmp_path / "sampler.safetensors"):  # a run folder as well
        again = samplenet.load_pretrained(path, framework="torch")
        assert again.settings == sampler.settings
        np.testing.assert_array_equal(
            call("torch", again, clouds)[1], call("torch", sampler, clouds)[1]
        )
    assert call("torch", samplenet.load_pretrained(tmp_path, m=4), clouds)[1].shape == (2, 4)
    assert metadata.items() <= pretrained.card(tmp_path).items()
    assert pick.SampleNetPicker(tmp_path, 4, framework="torch").normalisation == "box_side"
    weights.save(sampler, tmp_path / "sampler.safetensors")  # without sizes and normalisation
    with pytest.raises(InputError, match="sample 6 points, not 4"):
        samplenet.load_pretrained(tmp_path, m=4)
    assert pick.SampleNetPicker(tmp_path, 6, framework="torch").normalisation == "unit_sphere"
    assert pretrained.card(tmp_path)["normalisation"] == "unit_sphere"  # the page prints it
    assert "| `unit_sphere` |" in page.write("me/sampler", pretrained.card(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": "x"}, "temperature must be a finite number, got 'x'"),
        ({"temperature": 10**400}, "temperature must be a finite number, got 1000"),
        ({"k": 0.5}, "k must be a whole number of at least 1, got 0.5"),
        ({"min_sigma": -1}, "min_sigma must be a finite number of at least 0, got -1"),
        ({"conv_widths": []}, r"conv_widths must be one or more whole numbers .* got \(\)"),
        ({"conv_widths": [64.5]}, r"conv_widths must be .* got \(64.5,\)"),
        ({"fc_widths": [True]}, r"fc_widths must be whole numbers of at least 1, got \(True,\)"),
        ({"fc_widths": None}, "fc_widths must be whole numbers of at least 1, got None"),
        ({"bn_epsilon": "x"}, "bn_epsilon must be a finite number of at least 0, got 'x'"),
        ({"bn_epsilon": -1}, "bn_epsilon must be .* got -1"),
        ({"bn_epsilon": float("nan")}, "bn_epsilon must be .* got nan"),
        ({"bn_momentum": 7}, r"bn_momentum must be a number in \[0, 1\], got 7"),
        ({"projection": "no"}, "projection must be True or False, got 'no'"),
        ({"output_order": []}, r"output_order must be 'm3' or '3m', got \[\]"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(tmp_path, wrong, said):
    with pytest.raises(InputError, match=f"^SampleNet: {said}"):
        Settings(**{"m": 4, **wrong})
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, {}, {"network": {"m": 4, **wrong}})
    with pytest.raises(InputError, match=f"other.safetensors are damaged: SampleNet: {said}"):
        samplenet.load_pretrained(path)


def test_a_card_of_the_wrong_kind_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    for wrong, said in (
        ({"sizes": [-5, 0]}, r"sample sizes are \[-5, 0\], its m is 4"),
        ({"sizes": [True]}, r"sample sizes are \[True\]"),
        ({"normalisation": []}, r"normalisation is \[\], not one of unit_sphere, box_side"),
        ({"normalisation": "cube"}, "normalisation is 'cube'"),
    ):
        save_checkpoint(path, {}, {"network": {"m": 4}, **wrong})
        with pytest.raises(InputError, match=f"other.safetensors.*{said}"):
            pretrained.card(path)
    header = {"__metadata__": {"meta": '{"a": ' + 100_000 * "["}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(InputError, match="other.safetensors is damaged"):
        pretrained.card(path)


def test_the_page_says_that_progressive_samplers_serve_every_m_and_keeps_its_table():
    record = {**pretrained.card("classification-progressive"), "data": "x | y\nz <b>"}
    text = page.write("me/sampler", record)
    assert "It picks any number of them, and was trained for 8 to 128." in text
    assert "| data | x &#124; y z &lt;b&gt; |\n" in text
    assert "It picks 32 of them." in page.write("me/sampler", pretrained.card("classification-32"))


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("--data-root=/home/me/a=b/secret", "--data-root=secret"),
        ("/home/me/a=b/secret", "secret"),
        ("~/x/y.py:N --task ~me/z", "y.py:N --task z"),
        ("../../../home/me/z --runs=a/../../home/me/z", "z --runs=z"),
        ("--m 32 --data-root=data/a=b train.py", "--m 32 --data-root=data/a=b train.py"),
        ("train.py --resume --out", "train.py"),
    ],
)
def test_a_published_command_has_only_the_names_of_paths_out_of_its_folder(words, kept):
    from samplenet.pretrained import release as releasing

    assert releasing.without_paths(f"python {words}") == f"python {kept}"
    with pytest.raises(InputError, match="command is damaged .No closing quotation"):
        releasing.without_paths(f"python {words} '")


def test_weights_that_cannot_be_loaded_are_named(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    load = samplenet.load_pretrained
    with pytest.raises(
        InputError, match=r"no weights 'clasification-32'; known: classification-32, "
    ):
        load("clasification-32")
    with pytest.raises(
        InputError,
        match=r"classification-32 sample 32 points, not 20; those for every m: \['classif",
    ):
        load("classification-32", 20)
    with pytest.raises(InputError, match="framework must be 'torch' or 'tf', got 'jax'"):
        load("classification-32", framework="jax")
    with pytest.raises(InputError, match=r"no weights .*gone\.safetensors"):
        load(tmp_path / "gone.safetensors")
    weights.save(torch.nn.Linear(2, 2), tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=r"other\.safetensors does not hold the settings of a SampleNet"
    ):
        load(tmp_path / "other.safetensors")
    weights.save(
        torch.nn.Linear(2, 2), tmp_path / "newer.safetensors", {"network": {"m": 3, "heads": 2}}
    )
    with pytest.raises(
        InputError, match=r"newer\.safetensors have settings that this version's .*'heads'"
    ):
        load(tmp_path / "newer.safetensors", framework="torch")
    whole = (pretrained.FOLDER / f"{NAMES[0]}.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"cut\.safetensors is damaged"):
        load(tmp_path / "cut.safetensors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        InputError, match='huggingface_hub is not installed; install .* its extra "hub"'
    ):
        load("hf:owner/name")
    monkeypatch.setattr(pretrained, "PACKAGES", {"torch": "torch", "tf": "no_tensorflow"})
    with pytest.raises(
        InputError, match='no_tensorflow is not installed; install samplenet with its extra "tf"'
    ):
        load(NAMES[0], framework="tf")
    monkeypatch.setattr(pretrained, "PACKAGES", {"torch": "no_torch", "tf": "no_tensorflow"})
    with pytest.raises(
        InputError, match='neither PyTorch nor TensorFlow is installed; .* extra "torch" or "tf"'
    ):
        load(NAMES[0])


def test_the_default_framework_is_the_imported_one_else_the_installed_one_pytorch_first(
    monkeypatch,
):
    imported, installed, neither = (
        "json",
        "mailbox",
        "no_such_package",
    )  # packages that stand for a framework
    monkeypatch.delitem(sys.modules, installed, raising=False)
    for torch, tf, chosen in (
        (imported, imported, "torch"),
        (installed, imported, "tf"),
        (installed, installed, "torch"),
        (neither, installed, "tf"),
    ):
        monkeypatch.setattr(pretrained, "PACKAGES", {"torch": torch, "tf": tf})
        assert pretrained.choose_framework(None) == chosen
        assert pretrained.choose_framework("tf") == "tf"


def test_weights_of_a_hub_are_fetched_once(tmp_path, monkeypatch, capsys, clouds):
    pytest.importorskip("torch", reason="sampling by a network needs PyTorch")
    pytest.importorskip("plotly", reason="pages need plotly")
    asked = []

    def fetch(address):
        asked.append(address)
        return pretrained.FOLDER / "classification-progressive.safetensors"

    monkeypatch.setattr(hub, "fetch", fetch)
    cloud, out = tmp_path / "a.npy", tmp_path / "o.npy"
    np.save(cloud, clouds[0])
    weights = "--weights hf:me/sampler"
    view = f"view {cloud} {weights} --no-open -o {tmp_path / 'a.html'}"
    for words in (view, f"{view} -m 9", f"sample {cloud} {weights} -m 9 -o {out}"):
        assert cli.main(words.split()) == 0
        assert [asked.pop()] and not asked
    assert "9 by hf:me" in (tmp_path / "a.html").read_text()
    flags = SimpleNamespace(sampler="hf:me/sampler", repository="me/other", results=None)
    flags.license, flags.dry_run = "", True
    push(flags)
    assert len(asked) == 1 and "# me/other" in capsys.readouterr().out


def test_a_run_is_added_to_the_weights(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    from samplenet.pretrained import release as releasing
    from samplenet.torch import SampleNet

    run, results, kept = tmp_path / "samplenet-4-seed1", tmp_path / "evaluation", tmp_path / "kept"
    for folder in (run, results, kept):
        folder.mkdir()
    monkeypatch.setattr(releasing, "FOLDER", kept)
    torch.manual_seed(0)
    weights.save(SampleNet(4), run / "sampler.safetensors", {"sizes": [4], "num_points": 16})
    (run / "config.yaml").write_text("{sample_sizes: [4], projection: true, seed: 1, epochs: 1}")
    save_checkpoint(run / "last.safetensors", {}, {"epoch": 1, "done": True})
    (run / "environment.json").write_text(
        json.dumps({"command": "python train_samplenet.py", "revision": "abc"})
    )
    row = {
        "method": {"sampler": "samplenet", "m": 4},
        "protocol": "matched",
        "metric": "accuracy",
        "value": 0.5,
    }
    row |= {"n": 8, "seed": 1}
    found = {
        "schema": 2,
        "experiment": "classification",
        "data": "d",
        "command": "c",
        "rows": [{**row, "seed": 0}],
    }
    (results / "results.json").write_text(json.dumps(found))
    (results / "environment.json").write_text("{}")
    with pytest.raises(InputError, match="evaluation is no run folder"):
        releasing.release("mine", results, results)
    with pytest.raises(InputError, match=r"has no row of samplenet, seed 1, m in \[4\]"):
        releasing.release("mine", run, results)
    assert not list(kept.iterdir())
    (results / "results.json").write_text(
        json.dumps({**found, "rows": [{**row, "seed": 0, "value": 0.1}, row]})
    )
    for name in ("../x", "a/b", ".x", "", "Cars"):
        with pytest.raises(InputError, match="a name has a-z, 0-9 and hyphens"):
            releasing.release(name, run, results)
    copied = []
    monkeypatch.setattr(
        releasing, "write_atomic", lambda *words: (copied.append(words[0]), write_atomic(*words))
    )
    releasing.release("mine", run, results)
    assert copied == [kept / "mine.safetensors"]  # whole or not at all
    assert {path.name for path in kept.iterdir()} == {"mine.safetensors", "mine.json"}
    card = json.loads((kept / "mine.json").read_text())
    assert card["metrics"] == [{"m": 4, "metric": "accuracy", "value": 0.5, "n": 8}]
    for path in (results / "results.json", run / "environment.json"):
        whole = path.read_text()
        lacking = ("{}", '{"schema": 2}', '{"schema": 2, "command": 3}')
        for content in ("{", "[1]", "[" * 10**5, *lacking):
            path.write_text(content)
            with pytest.raises(InputError, match=f"{path.name} is damaged|earlier version"):
                releasing.release("mine", run, results)
        path.write_text(whole)
    (results / "results.json").write_text(json.dumps({**found, "rows": [3]}))
    with pytest.raises(InputError, match="results.json is damaged: 3 stands where"):
        releasing.release("mine", run, results)


def test_the_task_networks_are_small_hold_no_path_and_are_described():
    assert pretrained.list_tasks() == ["classification", "reconstruction", "registration"]
    files = [path for path in pretrained.TASKS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12e6
    for path in files:
        if path.suffix != ".safetensors":
            assert not re.search(r"(^|[\s'\"=])[/~]", path.read_text(), re.M), path
    for name in pretrained.list_tasks():
        card = pretrained.task_card(name)
        assert card["command"].split()[1].startswith(f"{name}/train_")
        assert card["data"] and len(card["evaluated_by"]) == 2 and len(card["revision"]) == 40
        assert all({"metric", "float32", "float16", "n"} == row.keys() for row in card["metrics"])
        arrays, meta = load_checkpoint(pretrained.TASKS / name / "last.safetensors")
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
        assert network_digest(pretrained.TASKS / name) == meta["rounded_from"]
    with pytest.raises(InputError, match="no task network 'cars' .*; known: classification, reco"):
        pretrained.task_card("cars")


def test_a_name_is_the_librarys_task_network_and_anything_else_a_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shipped = pretrained.TASKS / "registration"
    for text, folder in (
        ("registration", shipped),
        ("./registration", tmp_path / "registration"),
        ("results/registration", tmp_path / "results" / "registration"),
    ):
        assert settings.load(EvaluationConfig, ["--task", text]).task == str(folder)
        assert settings.load(settings.SamplerConfig, ["--task", text]).task == str(folder)


def test_a_task_network_is_added_without_what_others_do_not_have(tmp_path, monkeypatch):
    from samplenet.pretrained import release as releasing

    run, tasks = tmp_path / "run", tmp_path / "tasks"
    run.mkdir()
    monkeypatch.setattr(releasing, "TASKS", tasks)
    written = "{out: /home/me/run, resume: true, data_root: %s, num_points: 8, epochs: 1}"
    (run / "config.yaml").write_text(written % "null")
    command = f"python a/train.py --resume --out {run} --seed 0"
    environment = {"command": command, "revision": "abc", "machine": "mine"}
    (run / "environment.json").write_text(json.dumps(environment))
    arrays = {"fc1.weight": np.array([[1, 0.1]], np.float32), "optimizer/000": np.ones(3)}
    save_checkpoint(run / "last.safetensors", arrays, {"epoch": 1, "done": True, "names": ["a"]})
    releasing.release_task("classification", run, [])
    found, meta = load_checkpoint(tasks / "classification" / "last.safetensors")
    assert found.keys() == {"fc1.weight"} and found["fc1.weight"].dtype == np.float16
    assert meta["names"] == ["a"] and network_digest(tasks / "classification") == digest(arrays)
    environment = json.loads((tasks / "classification" / "environment.json").read_text())
    assert environment == {"command": "python a/train.py --seed 0", "revision": "abc"}
    assert str(tmp_path) not in (tasks / "classification" / "config.yaml").read_text()

    values = {}
    for kind, network in (("float32", run), ("float16", tasks / "classification")):
        row = {"method": {"sampler": "none"}, "metric": "accuracy", "value": len(values), "n": 4}
        source = {"method": {"sampler": "none"}, "folder": str(network)}
        values[kind] = {"schema": 2, "data": "d", "command": kind, "rows": [row], "runs": [source]}
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "results.json").write_text(json.dumps(values[kind]))
    results = [tmp_path / "float32", tmp_path / "float16"]
    releasing.release_task("classification", run, results)
    card = json.loads((tasks / "classification" / "card.json").read_text())
    assert card["metrics"] == [{"metric": "accuracy", "float32": 0, "float16": 1, "n": 4}]
    with pytest.raises(InputError, match="float16 evaluates"):
        releasing.release_task("classification", run, results[::-1])
    for key, wrong, said in (
        ("rows", [], "differ in their rows"),
        ("rows", [{"method": {"sampler": "none"}}], "results.json is damaged: 'metric' is missing"),
        ("runs", [], "float16 evaluates"),
        ("runs", 3, "results.json is damaged: 'runs' is missing"),
    ):
        text = json.dumps({**values["float16"], key: wrong})
        (tmp_path / "float16" / "results.json").write_text(text)
        with pytest.raises(InputError, match=said):
            releasing.release_task("classification", run, results)

    (run / "config.yaml").write_text(written % "/data/mine")
    with pytest.raises(InputError, match="depends on /data/mine, which others do not have"):
        releasing.release_task("classification", run, [])
    (run / "config.yaml").write_text(written % "null")
    save_checkpoint(
        run / "last.safetensors", {"a": np.full(2, 1e6, np.float32)}, {"epoch": 1, "done": True}
    )
    with pytest.raises(InputError, match="a goes to 1000000.0, too large for float16"):
        releasing.release_task("classification", run, [])


def test_clouds_are_normalised_as_the_experiments_are(clouds):
    far = 7 * clouds.astype(np.float64) + [100, -20, 3]
    np.testing.assert_allclose(
        samplenet.normalise(far), clouds, atol=1e-6
    )  # the shapes have zero mean and norm 1
    box = samplenet.normalise(far, "box_side")
    np.testing.assert_allclose(np.ptp(box, axis=1).max(1), 1, atol=1e-6)
    np.testing.assert_allclose(box.mean(1), 0, atol=1e-6)
    boxed = samplenet.normalise(far, "box_diagonal")
    np.testing.assert_allclose(boxed.max(1), -boxed.min(1), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(np.ptp(boxed, axis=1), axis=1), 1, atol=1e-6)
    assert not samplenet.normalise(np.ones((1, 1, 3))).any()
    with pytest.raises(InputError, match=r"clouds must have shape \(B, N, 3\), got \(5, 3\)"):
        samplenet.normalise(np.ones((5, 3)))
    with pytest.raises(
        InputError,
        match="normalisation must be one of unit_sphere, box_side, box_diagonal, got 'cube'",
    ):
        samplenet.normalise(clouds, "cube")
    far[1, 5, 2] = np.nan
    with pytest.raises(InputError, match="point 5 of cloud 1 is not finite"):
        samplenet.normalise(far)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32"])
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_a_normalised_tensor_is_a_tensor_with_the_numbers_of_an_array(clouds, framework, dtype):
    if framework == "torch":
        torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
        tensor = torch.from_numpy(100 * clouds).to(getattr(torch, dtype))
        array = tensor.double().numpy()
    else:
        tf = pytest.importorskip("tensorflow", reason="the Keras side needs TensorFlow")
        tensor = tf.cast(100 * clouds, dtype)
        array = tf.cast(tensor, tf.float64).numpy()
    for name in ("unit_sphere", "box_side", "box_diagonal"):
        got, want = samplenet.normalise(tensor, name), samplenet.normalise(array, name)
        assert (
            isinstance(got, type(tensor))
            and got.device == tensor.device
            and type(want) is np.ndarray
        )
        assert np.asarray(got).dtype == want.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(got), want)


def test_a_tensor_that_needs_a_gradient_is_normalised_without_one(clouds):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    got = samplenet.normalise(torch.from_numpy(clouds).requires_grad_())
    assert not got.requires_grad and torch.equal(got, torch.from_numpy(samplenet.normalise(clouds)))


def test_a_tensor_on_a_gpu_stays_there(clouds):
    torch = pytest.importorskip("torch", reason="the PyTorch side needs PyTorch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    got = samplenet.normalise(torch.from_numpy(clouds).cuda())
    assert got.is_cuda and torch.equal(got.cpu(), torch.from_numpy(samplenet.normalise(clouds)))


def test_a_tensorflow_variable_is_normalised_and_a_tensor_without_values_refused(clouds):
    tf = pytest.importorskip("tensorflow", reason="the Keras side needs TensorFlow")
    np.testing.assert_array_equal(
        samplenet.normalise(tf.Variable(clouds)), samplenet.normalise(clouds)
    )
    with pytest.raises(InputError, match="call it outside of tf.function"):
        tf.function(samplenet.normalise, autograph=False)(tf.constant(clouds))
