"""The written pages are what the code says now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "environments.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the pages are in the repository alone")
def test_the_page_of_the_environments_is_fresh(tmp_path: Path) -> None:
    written = tmp_path / "environments.md"
    script = ROOT / "scripts" / "make_docs.py"
    subprocess.run([sys.executable, str(script), "--output", str(written)], check=True)
    assert written.read_text("utf-8") == PAGE.read_text("utf-8"), "run scripts/make_docs.py"
