"""The released code's interface: its snippet, names, layouts, losses, checkpoints, processes."""

import copy
from pathlib import Path

import pytest

from samplenet import InputError, weights

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from src import (  # noqa: E402
    ChamferDistance,
    FPSSampler,
    RandomSampler,
    SampleNet,
    SoftProjection,
)

REGISTRATION = Path(__file__).parents[2] / "registration"
CLOUD = torch.randn(4, 60, 3, generator=torch.Generator().manual_seed(0))


def small(m=6, **changes):
    torch.manual_seed(0)
    return SampleNet(
        m,
        **{
            "bottleneck_size": 32,
            "group_size": 4,
            "input_shape": "bnc",
            "output_shape": "bnc",
            **changes,
        },
    )


@pytest.fixture
def run(serve_scripts, tmp_path):
    """Return a function that runs code beside `src`, warnings as errors, for what it prints."""

    def call(code, *flags):
        (tmp_path / "code.py").write_text(code)
        return serve_scripts("torch").run(tmp_path / "code.py", *flags, prepare=IN_REGISTRATION)

    return call


# native ops may not be built
IN_REGISTRATION = f"""
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "samplenet")
sys.path.insert(0, {str(REGISTRATION)!r})
"""
SNIPPET = """
import torch
from src import SampleNet, sputils

parser = sputils.get_parser()
parser.add_argument("--epochs", type=int, default=2)
args = parser.parse_args()
sampler = SampleNet(
    num_out_points=args.num_out_points,
    bottleneck_size=args.bottleneck_size,
    group_size=args.projection_group_size,
    initial_temperature=1.0,
    input_shape="bnc",
    output_shape="bnc",
)
sampler.training = True
task_model = torch.nn.Linear(3, 1).requires_grad_(False)
optimizer = torch.optim.Adam(sampler.parameters(), 1e-3)
for epoch in range(args.epochs):
    clouds = torch.randn(8, args.num_in_points, 3)
    for pc in torch.utils.data.DataLoader(clouds, batch_size=4, shuffle=True):
        simp_pc, proj_pc = sampler(pc)
        simplification_loss = sampler.get_simplification_loss(pc, simp_pc, args.num_out_points)
        projection_loss = sampler.get_projection_loss()
        samplenet_loss = args.alpha * simplification_loss + args.lmbda * projection_loss
        loss = task_model(proj_pc).square().mean() + samplenet_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
assert all(p.grad is not None for p in sampler.parameters())
sampler.training = False
simp, matched = sampler(pc)
assert (matched[:, :, None] == pc[:, None]).all(3).any(2).all()
assert sampler.get_simplification_loss(pc, simp, 64) == 0 and sampler.get_projection_loss() == 0
print(tuple(simp.shape), tuple(matched.shape))
"""


def test_the_released_snippet_runs(run):
    assert run(SNIPPET, "-in", "128", "-out", "16", "-gs", "5").strip() == "(4, 16, 3) (4, 16, 3)"


def test_the_doorway_has_the_released_names_flags_and_defaults(run):
    code = "from src import ChamferDistance, FPSSampler, RandomSampler, SampleNet, SoftProjection\n"
    code += (
        "from src import quaternion, sputils\nimport src.quaternion as Q\nassert Q is quaternion\n"
    )
    out = run(code + "print(vars(sputils.get_parser().parse_args()))")
    assert eval(out) == {
        "skip_projection": False,
        "num_in_points": 1024,
        "num_out_points": 64,
        "bottleneck_size": 128,
        "alpha": 0.01,
        "gamma": 1,
        "delta": 0,
        "projection_group_size": 8,
        "lmbda": 0.01,
    }


# soft projection

POINTS = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [5, 4, 4],
    [4, 5, 4],
    [4, 4, 5],
    [8, 7, 7],
    [7, 8, 7],
    [7, 7, 8],
]


def test_soft_projection_of_the_worked_example():
    cloud, query = torch.tensor(POINTS, dtype=torch.float32).T[None], torch.zeros(1, 3, 1)
    features = torch.arange(18.0).reshape(1, 2, 9)
    layer = SoftProjection(3)
    points, spread = layer(cloud, query, features, action="project_and_propagate")
    torch.testing.assert_close(points, torch.full((1, 3, 1), 1 / 3))
    torch.testing.assert_close(
        spread, torch.tensor([[[1.0], [10.0]]])
    )  # the mean of features 0, 1, 2 of each row
    assert torch.equal(layer(cloud, query), points)
    assert torch.equal(layer(cloud, query, features, action="propagate"), spread)
    assert list(layer.state_dict()) == ["_temperature"]
    assert layer.sigma().item() == 1
    assert SoftProjection(3, initial_temperature=1e-3).sigma().item() == pytest.approx(1e-4)
    for action, words in (("propagate", "needs point_features"), ("throw", "got 'throw'")):
        with pytest.raises(InputError, match=words):
            layer(cloud, query, action=action)


# SampleNet


class Released(nn.Module):
    """The released layers' names and shapes, declared again."""

    def __init__(self, m, bottleneck):
        super().__init__()
        widths = (3, 64, 64, 64, 128, bottleneck)
        for i in range(1, 6):
            setattr(self, f"conv{i}", nn.Conv1d(widths[i - 1], widths[i], 1))
            setattr(self, f"bn{i}", nn.BatchNorm1d(widths[i]))
        widths = (bottleneck, 256, 256, 256, 3 * m)
        for i in range(1, 5):
            setattr(self, f"fc{i}", nn.Linear(widths[i - 1], widths[i]))
        for i in range(1, 4):
            setattr(self, f"bn_fc{i}", nn.BatchNorm1d(256))
        self.project = nn.Module()
        self.project._temperature = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        """(B, 3, N) -> (B, 3, m)."""
        for i in range(1, 6):
            x = torch.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = x.max(2).values
        for i in range(1, 4):
            x = torch.relu(getattr(self, f"bn_fc{i}")(getattr(self, f"fc{i}")(x)))
        return self.fc4(x).view(len(x), 3, -1)


@pytest.mark.parametrize("skip_projection", [False, True])
def test_released_checkpoints_load_strictly_and_give_the_same_points(tmp_path, skip_projection):
    released = Released(6, 32)
    for _ in range(3):
        released(CLOUD.transpose(1, 2))
    sampler = small(input_shape="bcn", output_shape="bcn", skip_projection=skip_projection)
    assert list(sampler.state_dict()) and set(sampler.state_dict()) == set(released.state_dict())
    torch.save(released.state_dict(), tmp_path / "model_best.pth")
    sampler.load_state_dict(torch.load(tmp_path / "model_best.pth", weights_only=True), strict=True)
    by_file = small(input_shape="bcn", output_shape="bcn")
    weights.load(by_file, tmp_path / "model_best.pth")
    assert by_file.project.sigma().item() == pytest.approx(0.09)
    x = CLOUD.transpose(1, 2)
    torch.testing.assert_close(sampler.eval()(x)[0], released.eval()(x))
    # two ways to the same batch statistics, which round differently on other numbers of threads
    torch.testing.assert_close(by_file.train()(x)[0], released.train()(x), rtol=1e-4, atol=1e-4)


def test_layouts_and_modes():
    bnc, bcn, mixed = (
        small(),
        small(input_shape="bcn", output_shape="bcn"),
        small(output_shape="bcn"),
    )
    for mode in (True, False):
        for sampler in (bnc, bcn, mixed):
            sampler.train(mode)
        simp, points = bnc(CLOUD)
        assert simp.shape == points.shape == (4, 6, 3)
        for sampler, x in ((bcn, CLOUD.transpose(1, 2)), (mixed, CLOUD)):
            other = sampler(x)
            assert other[0].is_contiguous() and other[1].is_contiguous()
            torch.testing.assert_close(other[0].transpose(1, 2), simp)
            torch.testing.assert_close(other[1].transpose(1, 2), points)
    with pytest.raises(InputError, match="input_shape must be 'bcn'.* got 'nbc'"):
        small(input_shape="nbc")
    with pytest.raises(
        InputError, match=r"points must have shape .* got \(4, 60, 3\)|got \(4, 3, 60\)"
    ):
        bcn(CLOUD)


def test_training_false_is_inference_for_batch_norm_too():
    sampler = small()
    sampler(CLOUD)
    other = copy.deepcopy(sampler).eval()
    sampler.training = False
    before = sampler.bn1.running_mean.clone()
    assert torch.equal(sampler(CLOUD[:1])[1], other(CLOUD[:1])[1])
    assert torch.equal(sampler.bn1.running_mean, before)
    sampler.training = True
    sampler(CLOUD)
    assert not torch.equal(sampler.bn1.running_mean, before)


def test_losses():
    sampler, snet = small(initial_temperature=0.5), small(skip_projection=True)
    for net in (sampler, snet):
        simp, _ = net(CLOUD)
        a2b, b2a = ChamferDistance()(simp, CLOUD)
        want = a2b.mean() + a2b.amax(1).mean() + (0.5 + 6 / 30) * b2a.mean()
        torch.testing.assert_close(
            net.get_simplification_loss(CLOUD, simp, 6, gamma=0.5, delta=1 / 30), want
        )
    assert sampler.get_projection_loss().item() == pytest.approx(0.25)
    assert snet.get_projection_loss().item() == 0
    loss_of(snet, CLOUD).backward()  # DDP asks that each parameter that may learn gets a gradient
    assert all((p.grad is not None) == p.requires_grad for p in snet.parameters())
    assert not small(is_temperature_trainable=False).project._temperature.requires_grad
    sampler.eval()
    assert (
        sampler.get_simplification_loss(CLOUD, simp, 6).item()
        == sampler.get_projection_loss().item()
        == 0
    )


def test_matched_points_are_distinct_unless_complete_fps_is_off():
    double = torch.cat([CLOUD[:1, :3].expand(1, 3, 3), CLOUD[:1, 3:20]], 1)
    for complete, count in ((True, 18), (False, None)):
        sampler = small(18, complete_fps=complete).eval()
        simp, matched = sampler(double)
        rows = {tuple(p) for p in matched[0].tolist()}
        assert rows <= {tuple(p) for p in double[0].tolist()}
        assert (
            len(rows) == count
            if count
            else torch.equal(
                matched,
                torch.gather(
                    double, 1, torch.cdist(simp, double).argmin(2)[..., None].expand(-1, -1, 3)
                ),
            )
        )


def test_baselines():
    torch.manual_seed(0)
    for layout in ("bnc", "bcn"):
        x = CLOUD if layout == "bnc" else CLOUD.transpose(1, 2)
        shapes = {"input_shape": layout, "output_shape": layout}
        for sampler in (
            RandomSampler(9, **shapes),
            FPSSampler(9, permute=True, **shapes),
            FPSSampler(9, False, **shapes),
        ):
            out = sampler(x) if layout == "bnc" else sampler(x).transpose(1, 2)
            found = (out[:, :, None] == CLOUD[:, None]).all(3).any(1)  # (B, N)
            assert found.sum(1).tolist() == [9] * 4
    first = FPSSampler(1, permute=False, input_shape="bnc", output_shape="bnc")(CLOUD)
    assert torch.equal(first, CLOUD[:, :1])
    with pytest.raises(InputError, match=r"m must be in \[1, N\] = \[1, 60\], got 61"):
        RandomSampler(61, "bnc", "bnc")(CLOUD)


def loss_of(sampler, points):
    simp, proj = sampler(points)
    loss = proj.square().mean() + 0.01 * sampler.get_simplification_loss(points, simp, 6)
    return loss + 0.01 * sampler.get_projection_loss()


@pytest.mark.slow  # tests/torch compiles the network within
def test_compiled():
    torch._dynamo.reset()
    sampler = small()
    twin = copy.deepcopy(sampler)
    compiled = torch.compile(lambda p: loss_of(sampler, p), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(CLOUD), loss_of(twin, CLOUD))
    sampler.training = False
    module = torch.compile(sampler, fullgraph=True, backend="aot_eager")
    simp, matched = module(CLOUD)
    module.training = True
    assert sampler.bn1.training and not torch.equal(module(CLOUD)[1], matched)
    module.training = False
    assert not sampler.bn1.training
    assert (matched[:, :, None] == CLOUD[:, None]).all(3).any(2).all()


def test_under_autocast():
    sampler = small()
    with torch.autocast("cpu", torch.bfloat16):
        loss_of(sampler, CLOUD).backward()
    assert all(torch.isfinite(p.grad).all() for p in sampler.parameters())


# several processes

WORKER = """
import os, pathlib, sys, time
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, sys.argv[2])
from src import SampleNet

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)  # DDP hands the first process's weights to all
sampler = SampleNet(6, 32, 4, input_shape="bnc", output_shape="bnc")
model = DistributedDataParallel(sampler)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for step in range(3):
    points = torch.randn(4, 60, 3, generator=torch.Generator().manual_seed(10 * step + rank))
    simp, proj = model(points)
    loss = proj.square().mean() + 0.01 * sampler.get_simplification_loss(points, simp, 6)
    optimizer.zero_grad()
    (loss + 0.01 * sampler.get_projection_loss()).backward()
    optimizer.step()
mine = torch.cat([p.detach().flatten() for p in sampler.parameters()])
both = [torch.empty_like(mine) for _ in range(2)]
dist.all_gather(both, mine)
assert torch.equal(*both), "the replicas differ"
done = [pathlib.Path(f"{sys.argv[1]}.{number}") for number in range(2)]
done[rank].touch()
# neither closes its connections while the other still reads
while not all(file.exists() for file in done):
    time.sleep(0.01)
# gloo's threads can abort a process that ends normally, see samplenet/torch/processes.py
os._exit(0)
"""


def test_replicas_of_two_processes_stay_identical(tmp_path, torchrun):
    (tmp_path / "worker.py").write_text(WORKER)
    torchrun(tmp_path / "worker.py", tmp_path / "done", REGISTRATION)
