"""The released code's command line flags of a sampler."""

import argparse


def get_parser() -> argparse.ArgumentParser:
    """Make a parser of the sampler's flags, to extend. The loss weights are the registration experiment's."""
    parser = argparse.ArgumentParser(description="SampleNet: learned sampling of point clouds")
    add = parser.add_argument
    add("--skip-projection", action="store_true", help="no soft projection while training (S-NET)")
    add(
        "-in",
        "--num-in-points",
        type=int,
        default=1024,
        help="input points, N (default: %(default)s)",
    )
    add(
        "-out",
        "--num-out-points",
        type=int,
        default=64,
        help="sampled points, m (default: %(default)s)",
    )
    add(
        "--bottleneck-size",
        type=int,
        default=128,
        help="width of the last per-point layer (default: %(default)s)",
    )
    add(
        "--alpha",
        type=float,
        default=0.01,
        help="weight of the simplification loss (default: %(default)s)",
    )
    add(
        "--gamma",
        type=float,
        default=1,
        help="weight of the coverage of the input (default: %(default)s)",
    )
    add(
        "--delta",
        type=float,
        default=0,
        help="its weight for each sampled point (default: %(default)s)",
    )
    add(
        "-gs",
        "--projection-group-size",
        type=int,
        default=8,
        help="neighbours averaged, k (default: %(default)s)",
    )
    add(
        "--lmbda",
        type=float,
        default=0.01,
        help="weight of the projection loss (default: %(default)s)",
    )
    return parser
