"""Pages in a real browser: headless Chromium, at the widths of a desktop and of a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING
from typing import Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

WIDTHS = {"desktop": 1280, "phone": 390}
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 240

# Runs inside the page, when all of it is there, and tells the page around it.
_INSIDE = """
<script>
addEventListener("load", () => {
  const page = document.documentElement;
  const body = getComputedStyle(document.body);
  const looked = {
    overflow: page.scrollWidth - page.clientWidth,
    width: page.clientWidth,
    fetched: performance.getEntriesByType("resource").map(entry => entry.name),
    ink: body.color, paper: body.backgroundColor,
    wide: [...document.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth).length,
  };
  looked.asked = (ASK)();
  parent.postMessage({name: window.name, looked}, "*");
});
</script>
"""

# A window cannot be as narrow as a phone, but a frame can.
_AROUND = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"></head><body><pre id="looked"></pre>
<script>
const looked = {};
addEventListener("message", event => {
  looked[event.data.name] = event.data.looked;
  document.getElementById("looked").textContent = JSON.stringify(looked);
});
</script>
FRAMES
</body></html>
"""


def look_at(
    page: Path, folder: Path, *, dark: bool = False, ask: str = "() => null"
) -> dict[str, dict[str, Any]]:
    """Open a page at every width.

    Args:
        page: The page.
        folder: For files of the browser.
        dark: Whether the reader prefers dark pages.
        ask: A JavaScript function without arguments, called in the page.

    Returns:
        Name of the width to ``overflow`` (pixels by which the page is wider than its window), ``fetched`` (what it
        asked the network for), ``ink`` and ``paper`` (colours), ``wide`` (tables that scroll), and ``asked`` (what
        ``ask`` gave).
    """
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip(f"no browser is installed: one of {', '.join(_NAMES)}")
    folder.mkdir(parents=True, exist_ok=True)
    inside, around = folder / "inside.html", folder / "around.html"
    inside.write_text(page.read_text().replace("</body>", f"{_INSIDE.replace('ASK', ask)}</body>"))
    frames = [
        f'<iframe name="{name}" src="inside.html" style="width:{width}px;height:900px;border:0"></iframe>'
        for name, width in WIDTHS.items()
    ]
    around.write_text(_AROUND.replace("FRAMES", "\n".join(frames)))
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--window-size=1400,1000",
            "--virtual-time-budget=10000",
            "--dump-dom",
            around.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    found = re.search(r'<pre id="looked">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[:500] + done.stderr
    looked: dict[str, dict[str, Any]] = json.loads(html.unescape(found[1]) or "{}")
    assert looked.keys() == WIDTHS.keys(), looked
    return looked
