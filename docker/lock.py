"""Write docker/lock/*.txt, every distribution of an image with version and SHA-256: python docker/lock.py [--wheels W].

Asks pip what it would install for common/pyproject.toml within constraints.txt; needs Python 3.11 on Linux x86_64, as
in the images, and downloads gigabytes where the index has no metadata apart from the wheels.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = "https://download.pytorch.org/whl/cpu/torch/"  # PyTorch's builds without CUDA, as in pytorch.Dockerfile


def wanted() -> dict[str, list[str]]:
    """Lock file -> what its image asks for."""
    constraints = (ROOT / "constraints.txt").read_text()
    tf, torch = (
        re.search(rf"^{name}==(\S+)", constraints, re.M)[1] for name in ("tensorflow", "torch")
    )
    return {
        "tensorflow-cpu": ["common[tf,viz,train,build]"],
        "tensorflow-cuda": ["common[tf,viz,train,build]", f"tensorflow[and-cuda]=={tf}"],
        "pytorch-cpu": ["common[torch,viz,train,build]", f"torch=={torch}+cpu"],
        "pytorch-cuda": [
            "common[torch,viz,train,build]",
            f"torch==={torch}",
        ],  # === shuts out +cpu, which == lets in
    }


def lock(requirements: list[str], wheels: str) -> list[str]:
    """A line for each distribution that pip chooses."""
    requirements = [f"{ROOT}/{r}" if r.startswith("common") else r for r in requirements]
    more = ["--find-links", wheels] if any("+cpu" in r for r in requirements) else []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run(
            [
                *pip,
                "--report",
                report,
                "-c",
                ROOT / "constraints.txt",
                *more,
                "setuptools>=77",
                *requirements,
            ],
            check=True,
        )
        chosen = json.loads(report.read_text())["install"]
    lines = []
    for item in chosen:
        name, version = (item["metadata"][key] for key in ("name", "version"))
        if name != "samplenet":
            digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
            lines.append(f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}")
    return sorted(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="docker/lock.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--wheels", default=WHEELS, help="page or folder with PyTorch's CPU wheels (%(default)s)"
    )
    parser.add_argument(
        "--only", choices=wanted(), nargs="+", default=list(wanted()), help="write these (all)"
    )
    args = parser.parse_args()
    here = platform.system(), platform.machine(), *sys.version_info[:2]
    if here != ("Linux", "x86_64", 3, 11):
        sys.exit(
            "lock.py: error: needs Python 3.11 on Linux x86_64, this is Python {2}.{3} on {0} {1}".format(
                *here
            )
        )
    for name in args.only:
        lines = lock(wanted()[name], args.wheels)
        head = "# Linux x86_64, Python 3.11; made from common/pyproject.toml and constraints.txt: python docker/lock.py"
        (ROOT / "docker" / "lock" / f"{name}.txt").write_text("\n".join([head, *lines]) + "\n")
        print(f"docker/lock/{name}.txt: {len(lines)} distributions", flush=True)


if __name__ == "__main__":
    main()
