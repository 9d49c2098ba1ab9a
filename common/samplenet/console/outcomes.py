"""What became of clouds that samplenet sample took."""

import traceback
from dataclasses import dataclass, field

from samplenet.console import reading


@dataclass
class Outcome:
    """What became of one cloud.

    Attributes:
        file: its name, in a shard "<shard>/<name>".
        named: whether the command names it, not a folder or a shard.
        m, points: number of points sampled, and of the cloud; 0 without a sample.
        seconds: for reading, sampling and writing; clouds that are sampled together share it.
    """

    file: str
    named: bool = False
    m: int = 0
    points: int = 0
    seconds: float = 0.0
    error: Exception | None = None
    trace: str = ""

    def fail(self, error: Exception) -> None:
        """Record an error, where it is caught."""
        self.m = self.points = 0
        self.error, self.trace = error, traceback.format_exc()

    @property
    def entry(self) -> dict:
        """Return the line of the manifest."""
        error = None if self.error is None else str(reading.named(self.file, self.error))
        numbers = {"m": self.m, "points": self.points, "seconds": round(self.seconds, 4)}
        return {"file": self.file, **numbers, "error": error}


@dataclass
class Report:
    """What became of the clouds that a process took.

    Attributes:
        kept: clouds whose samples an unfinished shard of an earlier call held.
        finished: name of the shard, once it is complete.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    notes: reading.Notes = field(default_factory=reading.Notes)
    kept: int = 0
    finished: str = ""

    @property
    def entries(self) -> list[dict]:
        """Return the lines of the manifest."""
        lines = [outcome.entry for outcome in self.outcomes]
        if self.finished:
            sampled = sum(outcome.error is None for outcome in self.outcomes) + self.kept
            lines.append({"file": self.finished, "clouds": sampled, "error": None})
        return lines
