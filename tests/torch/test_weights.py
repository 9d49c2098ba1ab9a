"""One weights file for both frameworks: round trips, strictness, damage, released checkpoints."""

import numpy as np
import pytest
import safetensors.numpy

from samplenet import InputError, weights

torch = pytest.importorskip("torch")
from samplenet.torch import SampleNet  # noqa: E402

SMALL = {"conv_widths": (8, 8), "fc_widths": (16,), "k": 4}
CLOUD = np.random.default_rng(0).normal(size=(4, 50, 3)).astype(np.float32)


def trained(seed=0, m=6, **changes):
    torch.manual_seed(seed)
    sampler = SampleNet(m, **{**SMALL, **changes})
    sampler(torch.from_numpy(CLOUD))
    return sampler


def same(a, b):
    b = b.state_dict()
    return all(torch.equal(value, b[name]) for name, value in a.state_dict().items())


@pytest.fixture
def path(tmp_path):
    weights.save(trained(), tmp_path / "sampler.safetensors")
    return tmp_path / "sampler.safetensors"


def test_torch_round_trip_is_the_state_dict(path):
    other = trained(1)
    weights.load(other, path)
    assert same(trained(), other)
    arrays = safetensors.numpy.load_file(path)
    assert set(arrays) == set(other.state_dict())
    assert arrays["conv2.weight"].shape == (8, 8, 1)
    assert arrays["project._temperature"].shape == ()


def test_keras_round_trip_through_torch(path, tmp_path):
    pytest.importorskip("tensorflow", reason="the Keras side needs TensorFlow")
    from samplenet.tf import SampleNet as KerasSampleNet
    from samplenet.tf.state import State

    first, second = KerasSampleNet(6, **SMALL), KerasSampleNet(6, **SMALL)
    with pytest.raises(InputError, match="call it on a cloud first"):
        weights.save(first, path)
    first(CLOUD), second(CLOUD)
    weights.load(first, path)
    between = trained(2)
    weights.save(first, tmp_path / "keras.safetensors")
    assert not any(
        "num_batches" in name
        for name in safetensors.numpy.load_file(tmp_path / "keras.safetensors")
    )
    weights.load(between, tmp_path / "keras.safetensors")
    between.bn1.num_batches_tracked.fill_(1)
    assert same(trained(), between)
    weights.save(between, tmp_path / "back.safetensors")
    weights.load(second, tmp_path / "back.safetensors")
    for name, value in State(first).arrays().items():
        np.testing.assert_array_equal(value, State(second).arrays()[name])
    # what safetensors' own reader gives loads strictly as well
    trained(3).load_state_dict(
        {
            n: torch.from_numpy(a)
            for n, a in safetensors.numpy.load_file(tmp_path / "keras.safetensors").items()
        }
    )


def test_keras_networks_of_blocks_have_distinct_names():
    pytest.importorskip("tensorflow", reason="the Keras side needs TensorFlow")
    import keras

    from samplenet.tf.layers import Block

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.inner = keras.Sequential(
                [Block(4, name="conv1"), Block(5, name="late_conv1")], name="t_net"
            )
            self.blocks = [Block(6, name="fc1"), keras.layers.Dense(2, name="logits")]

        def call(self, inputs, training=None):
            out = self.inner(inputs, training=training)
            for block in self.blocks:
                out = block(out)
            return out

    net = Net()
    net(CLOUD)
    arrays = weights.arrays(net)
    assert {name: arrays[name].shape for name in arrays if name.endswith("weight")} == {
        "t_net.conv1.weight": (4, 3, 1),
        "t_net.bn1.weight": (4,),
        "t_net.late_conv1.weight": (5, 4, 1),
        "t_net.late_bn1.weight": (5,),
        "fc1.weight": (6, 5),
        "bn_fc1.weight": (6,),
        "logits.weight": (2, 6),
    }


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"m": 7}, r"do not fit.*fc2.weight has shape \(18, 16\), needed \(21, 16\)"),
        ({"projection": False}, "project._temperature is not in the model$"),
        ({"conv_widths": (8, 8, 8)}, "bn3.bias is missing; .*conv3.weight is missing$"),
        (
            {"output_batch_norm": False},
            "bn_fc2.bias is not in the model; .*bn_fc2.weight is not in the model$",
        ),
    ],
)
def test_what_does_not_fit_is_listed_and_changes_nothing(path, changes, words):
    other, before = trained(1, **changes), trained(1, **changes)
    with pytest.raises(InputError, match=words):
        weights.load(other, path)
    assert same(before, other)


def test_damage_is_told(path, tmp_path):
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-5] ^= 1
    for damaged in (bytes(flipped), content[:-10], content[:3], b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"sampler.safetensors is damaged"):
            weights.load(trained(), path)
    with pytest.raises(InputError, match="no weights .*absent"):
        weights.load(trained(), tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match="torch module or a Keras model, got dict"):
        weights.save({}, path)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="disk full"):
        weights.save(trained(1), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_other_precisions_and_wrappers_leave_the_names(tmp_path):
    sampler, path = trained(), tmp_path / "half.safetensors"
    inner = torch.compile(sampler.bfloat16(), backend="eager")
    weights.save(torch.compile(torch.nn.Sequential(inner), backend="eager"), path)
    other = torch.nn.Sequential(trained(1))
    weights.load(other, path)
    assert torch.equal(other[0].fc1.weight, sampler.fc1.weight.float())


def test_pth_files_load_by_part_and_snapshots_by_their_model(tmp_path):
    sampler = trained()
    attached = torch.nn.Module()
    attached.feat, attached.sampler = torch.nn.Linear(2, 2), sampler
    path = tmp_path / "model_best.pth"
    for content in (
        attached.state_dict(),
        {"epoch": 3, "model": attached.state_dict(), "min_loss": 0.1},
    ):
        torch.save(content, path)
        other = trained(1)
        weights.load(other, path, part="sampler")
        assert same(sampler, other)
    with pytest.raises(InputError, match="feat.weight is not in the model"):
        weights.load(other, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="model_best.pth are damaged"):
        weights.load(other, path)


def test_a_pth_file_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code of the file was run",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match="hold more than tensors"):
        weights.load(trained(), tmp_path / "trap.pth")
