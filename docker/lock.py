"""Write docker/lock/*.txt: each distribution in an image, with its version and SHA-256.

python docker/lock.py [--wheels PAGE]

Asks pip what it would install for common/pyproject.toml within constraints.txt. Needs Python 3.11
on Linux x86_64, as in the images. Downloads gigabytes if the index serves metadata only in wheels.
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
# PyTorch's builds without CUDA, as in pytorch.Dockerfile
WHEELS = "https://download.pytorch.org/whl/cpu/torch/"
NEEDED = "Python 3.11 on Linux x86_64"
HEAD = (
    "# Linux x86_64, Python 3.11; made from common/pyproject.toml and constraints.txt: "
    "python docker/lock.py\n"
)


def wanted() -> dict[str, list[str]]:
    """Return the requirements of each image, by the name of its lock file."""
    constraints = (ROOT / "constraints.txt").read_text()
    versions = dict(re.findall(r"^(\w+)==(\S+)", constraints, re.M))
    tf, torch = versions["tensorflow"], versions["torch"]
    common = "viz,train,build,render"
    with_tf, with_torch = (f"{ROOT}/common[{own},{common}]" for own in ("tf", "torch,probe"))
    return {
        "tensorflow-cpu": [with_tf],
        "tensorflow-cuda": [with_tf, f"tensorflow[and-cuda]=={tf}"],
        "pytorch-cpu": [with_torch, f"torch=={torch}+cpu"],
        # === excludes the build +cpu, which == would accept
        "pytorch-cuda": [with_torch, f"torch==={torch}"],
    }


def lock(requirements: list[str], wheels: str) -> list[str]:
    """Return a line for each distribution that pip chooses."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    pip += ["-c", ROOT / "constraints.txt"]
    if any("+cpu" in requirement for requirement in requirements):
        pip += ["--find-links", wheels]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip += ["--report", report, "setuptools>=77", *requirements]
        subprocess.run(pip, check=True)
        chosen = json.loads(report.read_text())["install"]
    lines = []
    for item in chosen:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name != "samplenet":
            digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
            lines.append(f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}")
    return sorted(lines)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="docker/lock.py", description=__doc__.splitlines()[0])
    wheels = "page or folder with PyTorch's CPU wheels (%(default)s)"
    parser.add_argument("--wheels", default=WHEELS, help=wheels)
    images = wanted()
    parser.add_argument("--only", choices=images, nargs="+", help="write these (all)")
    args = parser.parse_args()
    python = ".".join(platform.python_version_tuple()[:2])
    here = f"Python {python} on {platform.system()} {platform.machine()}"
    if here != NEEDED:
        sys.exit(f"lock.py: error: needs {NEEDED}, this is {here}")
    for name in args.only or images:
        lines = lock(images[name], args.wheels)
        (ROOT / "docker" / "lock" / f"{name}.txt").write_text(HEAD + "\n".join(lines) + "\n")
        print(f"docker/lock/{name}.txt: {len(lines)} distributions", flush=True)


if __name__ == "__main__":
    main()
