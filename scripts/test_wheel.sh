#!/usr/bin/env bash
# Build the wheel, install it into a new virtual environment and run the tests against it there,
# outside the checkout's import path, so that a package missing from the wheel is seen.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$root/.venv/bin/python" -m build --wheel --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 \
    || { cat "$work/build.log"; exit 1; }
"${PYTHON:-python3}" -m venv "$work/venv"
wheel="$(ls "$work"/dist/*.whl)"
"$work/venv/bin/python" -m pip install --quiet -c "$root/constraints.txt" "${wheel}[test]"
mkdir "$work/run"
cp -r "$root/tests" "$root/benchmarks" "$root/scripts" "$root/pyproject.toml" "$root/README.md" "$root/setup.cfg" "$work/run/"
cd "$work/run"
"$work/venv/bin/python" -c "import textgym, textgym_agents; print(textgym.__file__)"
export TEXTGYM_TEST_DATA="${TEXTGYM_TEST_DATA:-$root/../shared/data}"
export OMP_NUM_THREADS=1
"$work/venv/bin/python" -m pytest -o pythonpath= -q -n 2 --dist loadfile "$@"
