"""The settings that both frameworks' `GreedySampler` share.

An experiment.py names the variants before anything is installed, so this imports the standard
library only.
"""

from dataclasses import dataclass

from samplenet.errors import InputError

LARGEST = 64  # sample size in the tables: beyond it farthest points do nearly as well, for less
NEEDS = ("early_features", "late_features", "discrepancy")  # of a network; see `GreedySampler`
TABLE = ("greedy", "greedy_features_128", "greedy_fps_128")  # of `VARIANTS`, in every main table
NEAR = (2, 4)  # in ablations, beside each trained sampler: neighbours of each generated point
POOLS = ("all", "fps", "features", "near")
# the samplers of the tables, by name: `Greedy` settings
VARIANTS = {
    "greedy": {},
    "greedy_features_128": {"pool": "features", "size": 128},
    "greedy_fps_128": {"pool": "fps", "size": 128},
    "greedy_fps_256": {"pool": "fps", "size": 256},
    "greedy_refresh_2": {"refresh": 2},
    "greedy_refresh_4": {"refresh": 4},
    "greedy_rerank_8": {"rerank": 8},
    "greedy_pooled_distance": {"on": "features"},
}


@dataclass(frozen=True)
class Greedy:
    """The settings of a `GreedySampler`.

    Attributes:
        m: points to pick, at most the pool's.
        pool: the points among which it chooses, and whose answer it aims at. "all" N; "fps":
            `size` farthest points; "features": the first `size` of the points that hold the maxima
            of the early features, in the order of these, completed by farthest points; "near": the
            nearest points of each query, as a trained SampleNet generates them, the first of all
            queries before the second of any, `size` distinct ones, completed by farthest points.
        size: points of the pool, at least m; pool "all" ignores it.
        refresh: turns for which a gradient serves.
        rerank: of so many points with the largest gains, the discrepancy itself decides; 1 takes
            the largest gain.
        on: "answer": the network's own `discrepancy`; "features": the squared distance of the
            pooled features, which asks less of the network.
    """

    m: int
    pool: str = "all"
    size: int = 128
    refresh: int = 1
    rerank: int = 1
    on: str = "answer"

    def __post_init__(self):
        for name in ("m", "size", "refresh", "rerank"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(
                    f"GreedySampler: {name} must be a whole number of at least 1, got {value!r}"
                )
        if self.pool not in POOLS:
            raise InputError(f"GreedySampler: pool must be one of {POOLS}, got {self.pool!r}")
        if self.on not in ("answer", "features"):
            raise InputError(f"GreedySampler: on must be 'answer' or 'features', got {self.on!r}")

    def pool_size(self, n: int) -> int:
        """Return the size of the pool of a cloud of n points; InputError if it has fewer than m."""
        size = n if self.pool == "all" else min(self.size, n)
        if size < self.m:
            raise InputError(
                f"GreedySampler: m must be at most the pool's {size} points, got m = {self.m}"
            )
        return size

    def check_queries(self, queries) -> None:
        """Raise InputError unless there are queries where the pool needs them, and only there."""
        if self.pool == "near" and queries is None:
            raise InputError(
                "GreedySampler: pool 'near' needs queries, such as a trained sampler's simplify"
            )
        if self.pool != "near" and queries is not None:
            raise InputError(f"GreedySampler: queries are for pool 'near', not {self.pool!r}")

    @staticmethod
    def neighbours(size: int, queries: int) -> int:
        """Return how many neighbours each query needs for a pool of `size` points."""
        return -(-size // queries)
