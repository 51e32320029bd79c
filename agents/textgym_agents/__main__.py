"""``python -m textgym_agents`` is ``textgym-agents``, for launchers that start modules."""

from __future__ import annotations

import sys

from textgym_agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
