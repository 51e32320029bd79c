"""Settings of every test run."""

from __future__ import annotations

import os

# The models of the tests are small: one thread is as fast as two on free cores, and far faster
# where another process has one of them, since waiting threads spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
