"""The released code's command line flags of a sampler."""

import argparse

# flags, type, default and help; the loss weights are the registration experiment's
FLAGS = (
    (("-in", "--num-in-points"), int, 1024, "input points, N"),
    (("-out", "--num-out-points"), int, 64, "sampled points, m"),
    (("--bottleneck-size",), int, 128, "width of the last per-point layer"),
    (("--alpha",), float, 0.01, "weight of the simplification loss"),
    (("--gamma",), float, 1, "weight of the coverage of the input"),
    (("--delta",), float, 0, "its weight for each sampled point"),
    (("-gs", "--projection-group-size"), int, 8, "neighbours averaged, k"),
    (("--lmbda",), float, 0.01, "weight of the projection loss"),
)


def get_parser() -> argparse.ArgumentParser:
    """Make a parser of the sampler's flags, for a script to extend."""
    parser = argparse.ArgumentParser(description="SampleNet: learned sampling of point clouds")
    skipping = "no soft projection while training (S-NET)"
    parser.add_argument("--skip-projection", action="store_true", help=skipping)
    for flags, kind, default, text in FLAGS:
        text += " (default: %(default)s)"
        parser.add_argument(*flags, type=kind, default=default, help=text)
    return parser
