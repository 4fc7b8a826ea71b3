"""Write constraints.txt from pip's report of a complete resolution (``make constraints``).

Usage: python scripts/constraints.py REPORT.json > constraints.txt
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

HEADER = """\
# Exact versions of everything that an installation with the extras dev and ray needs. Written by
# `make constraints`, which resolves pyproject.toml anew; commit the result after `make lint test`.
# What only some builds need (torch's CUDA packages) is pinned by the packages that ask for it.
"""


def pins(report: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    """One ``name==version`` per package, sorted, without this project itself.

    A local version (``2.13.0+cpu``) names a build, not a release: without it the pin holds for every build.
    """
    found = {
        re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower(): package["metadata"]["version"]
        for package in report["install"]
    }
    found.pop("nas-harness", None)
    return [f"{name}=={version.split('+')[0]}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(HEADER + "\n".join(pins(report)))
