"""Draw docs/images/render-*.png: a chair by render_voxels, by the projections, and gradients.

The chair is a built-in shape; images and gradients are those of samplenet.ops.torch. Prints the
numbers that docs/rendering.md quotes. Needs PyTorch and the extra `render`.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgb

from samplenet.data import cameras, shapes
from samplenet.data.views.meshes import BuiltIn
from samplenet.data.views.rays import render
from samplenet.ops.torch import project_features, project_mask, render_voxels

SIZE, SMALL = 64, 32  # pixels a side, of images and of those beside gradients
SIGMAS = (3, 1.5, 0.7, 0.2)  # voxels
COLOURS = np.array([to_rgb(c) for c in ("#2f7fc1", "#e08a1e", "#6a9f3d", "#c1272d")])  # of parts
ARROW, TARGET = "#c1272d", "#bcd6ee"
IMAGES = Path(__file__).parent / "images"

CAMERA = cameras.extrinsic(azimuth=-60, elevation=20)
SURFACE = BuiltIn(["chair"], 10).surface("chair", "chair_0004")


def cloud(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (1, count, 3), row, column and depth from the middle, in pixels; parts."""
    edges = SURFACE.triangles[:, 1:] - SURFACE.triangles[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    rng = np.random.default_rng(0)
    face = rng.choice(len(area), count, p=area / area.sum())
    corners = rng.dirichlet((1, 1, 1), count)  # uniform in a triangle
    points = np.einsum("nc,ncd->nd", corners, SURFACE.triangles[face])
    pixels, depth = cameras.project(points, CAMERA, cameras.intrinsics(size))
    deep = (depth - cameras.DISTANCE) * size
    stacked = np.stack([pixels[:, 1], pixels[:, 0], deep], 1)
    return torch.tensor(stacked[None], dtype=torch.float32), torch.tensor(SURFACE.parts[face])


def voxels(points: torch.Tensor, sigma: float, size: int):
    """Call render_voxels on points (1, N, 3) of `cloud`."""
    row, column, deep = points.unbind(-1)
    box = torch.stack([deep / size, 0.5 - row / size, column / size - 0.5], -1)
    return render_voxels(box, sigma=sigma, size=size, kernel_size=19, max_depth=2.6)


def in_camera(points: torch.Tensor, size: int) -> torch.Tensor:
    """Return points (1, N, 3) of `cloud` as the projections want them: the depth in units."""
    return torch.cat([points[..., :2], points[..., 2:] / size + cameras.DISTANCE], -1)


def bare(axes) -> None:
    """Take the ticks off."""
    for ax in np.ravel(axes):
        ax.set_xticks([])
        ax.set_yticks([])


def draw_sigmas() -> None:
    points, _ = cloud(4000, SIZE)
    figure, axes = plt.subplots(2, len(SIGMAS), figsize=(9, 4.8), layout="constrained")
    for (above, below), sigma in zip(axes.T, SIGMAS, strict=True):
        images = voxels(points, sigma, SIZE)
        above.imshow(images.silhouette[0], cmap="gray", vmin=0, vmax=1)
        below.imshow(images.depth[0], cmap="viridis", vmin=1.5, vmax=2.6)
        above.set_title(f"sigma = {sigma:g}")
    axes[0, 0].set_ylabel("silhouette")
    axes[1, 0].set_ylabel("depth")
    bare(axes)
    figure.savefig(IMAGES / "render-sigma.png", dpi=90)
    away = torch.tensor([1.5, 4.5, 8.5])  # voxels, where trilinear shares have no kink
    for sigma in SIGMAS:
        lone = torch.stack([torch.full((3,), 16.5), 16.5 + away, torch.full((3,), 0.5)], 1)
        lone = lone[:, None].requires_grad_()  # three clouds of one point
        voxels(lone, sigma, SMALL).silhouette[:, 16, 16].sum().backward()
        lengths = [f"{g:.4f}" for g in lone.grad[:, 0, 1].abs().tolist()]
        print(f"sigma {sigma:g}: gradient of a pixel 1.5, 4.5, 8.5 voxels away:", *lengths)


def draw_projections() -> None:
    points, parts = cloud(4000, SIZE)
    points, hues = in_camera(points, SIZE), torch.tensor(COLOURS, dtype=torch.float32)
    mask = project_mask(points, SIZE, SIZE)[0].numpy()
    drawn = project_features(points, hues[parts][None], SIZE, SIZE)
    features = drawn.features + 1 - drawn.coverage[..., None]  # on white
    true = render(SURFACE, CAMERA[None], size=SIZE)
    labels = np.where(true.triangle[0] >= 0, SURFACE.parts[true.triangle[0]], -1)
    true_mask = labels >= 0
    true_labels = np.vstack([COLOURS, np.ones(3)])[labels]
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.9), layout="constrained")
    images = {"mask of the mesh": true_mask, "project_mask": mask}
    images |= {"parts of the mesh": true_labels, "project_features": features[0].numpy()}
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
    for part in np.unique(SURFACE.parts):
        axes[2].plot([], [], "s", color=COLOURS[part], label=shapes.PARTS["chair"][part])
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    bare(axes)
    figure.savefig(IMAGES / "render-projections.png", dpi=90)
    overlap = ((mask > 0.5) & true_mask).sum() / ((mask > 0.5) | true_mask).sum()
    print(f"IoU of project_mask > 0.5 with the mask of the mesh: {overlap:.2f}")


def draw_gradients() -> None:
    chair, parts = cloud(900, SMALL)
    outside = torch.tensor([[[8.0, 41.0, 0.0], [24.0, 43.0, 4.0]]])
    points = torch.cat([chair, outside], 1)
    hues = torch.tensor(COLOURS, dtype=torch.float32)
    hues = torch.cat([hues[parts], hues[:2]])[None]  # (1, N, 3)
    right, deeper = torch.tensor([0.0, 3.0, 0.0]), torch.tensor([0.0, 0.0, 3.0])  # pixels
    draws = {  # what is drawn, how, and where the chair of the target is
        "project_mask: silhouette": (
            lambda p: project_mask(in_camera(p, SMALL), SMALL, SMALL),
            right,
        ),
        "render_voxels: silhouette": (lambda p: voxels(p, 1.0, SMALL).silhouette, right),
        "render_voxels: depth": (lambda p: voxels(p, 1.0, SMALL).depth, deeper),
        "project_features: colour": (
            lambda p: project_features(in_camera(p, SMALL), hues, SMALL, SMALL).features,
            right,
        ),
    }
    to_scale = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.007, "minlength": 0}
    figure, axes = plt.subplots(2, len(draws), figsize=(11, 4.6), layout="constrained")
    for (front, side), (title, (draw, shift)) in zip(axes.T, draws.items(), strict=True):
        leaf = points.clone().requires_grad_()
        (draw(leaf) - draw(points + shift)).square().sum().backward()
        at, step = points[0].numpy(), -leaf.grad[0].numpy()
        lengths = np.linalg.norm(step, axis=1, keepdims=True)
        across, along, none = (np.abs(g).max() for g in (step[:, :2], step[:, 2], step[-2:]))
        print(f"{title}: at most {across:.1e} across, {along:.1e} along the ray, {none} outside")
        # 90 % of the arrows to scale, up to 5 pixels; the others are cut to 5
        step *= 5 / np.maximum(lengths, np.quantile(lengths[lengths > 0], 0.9))
        for ax, x, limits in ((front, 1, (5, 45)), (side, 2, (-20, 20))):
            ax.plot(*(at + shift.numpy())[:-2, [x, 0]].T, ".", color=TARGET, ms=4)
            ax.plot(*at[:-2, [x, 0]].T, ".", color="#777777", ms=1.5)
            ax.plot(*at[-2:, [x, 0]].T, "x", color="black", ms=6)
            arrows = np.concatenate([at[::9, [x, 0]], step[::9, [x, 0]]], 1)
            ax.quiver(*arrows.T, color=ARROW, zorder=3, **to_scale)
            ax.set_aspect("equal")
            ax.set(xlim=limits, ylim=(SMALL, 0))
        front.axvline(SMALL, color="#777777", lw=0.8)
        front.set_title(title)
    axes[0, 0].set_ylabel("from the camera")
    axes[1, 0].set_ylabel("from the side,\ndepth to the right")
    bare(axes)
    figure.savefig(IMAGES / "render-gradients.png", dpi=80, pil_kwargs={"optimize": True})


draw_sigmas()
draw_projections()
draw_gradients()
