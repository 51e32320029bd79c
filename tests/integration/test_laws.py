"""The laws of the house: who may import whom, what an import costs, what the wheel holds."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import textgym
import textgym_agents

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "textgym": Path(textgym.__file__).parent,
    "textgym_agents": Path(textgym_agents.__file__).parent,
}


def modules() -> dict[str, Path]:
    found = {}
    for name, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            found[".".join(parts)] = path
    return found


MODULES = modules()


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """Modules that a file imports, when it is loaded or, with `everywhere`, ever."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in MODULES else node.module or "")
        inside_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if everywhere or not (inside_function or type_checking):
            stack.extend(ast.iter_child_nodes(node))
    return names


@pytest.mark.parametrize(
    ("package", "other"), [("textgym", "textgym_agents"), ("textgym_agents", "textgym")]
)
def test_the_two_packages_never_import_each_other(package: str, other: str) -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] == package:
            tops = {module.split(".")[0] for module in imports(path, everywhere=True)}
            assert other not in tops, f"{name} imports {other}"


def test_there_is_no_import_cycle() -> None:
    graph = {
        name: {m for m in imports(path, everywhere=False) if m in MODULES and m != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


LAYERS = {
    "textgym": [
        {"tokenizers"},
        {"tasks"},
        {"rewards"},
        {"envs", "testing"},
        {"registration"},
        {"score", "play"},
        {"cli"},
    ],
    "textgym_agents": [
        {"checks", "returns", "losses", "policies"},
        {"sharding", "shares"},
        {"action_masks", "ongoing"},
        {"rollout", "distributed"},
        {"algorithms"},
        {"evaluate", "checkpoint", "loggers", "runs"},
        {"train"},
        {"cli"},
        {"__main__"},
    ],
}
APART = {"tokenizers", "tasks", "rewards"}


@pytest.mark.parametrize("package", list(LAYERS))
def test_imports_point_one_way(package: str) -> None:
    order = {part: rank for rank, parts in enumerate(LAYERS[package]) for part in parts}
    for name, path in MODULES.items():
        parts = name.split(".")
        if parts[0] != package or len(parts) < 2:
            continue
        assert parts[1] in order, f"{name} has no place in the layers"
        for module in imports(path, everywhere=True):
            target = module.split(".")
            if target[0] == package and len(target) > 1 and target[1] in order:
                assert order[target[1]] <= order[parts[1]], f"{name} imports {module}"
                if parts[1] in APART:
                    assert target[1] not in APART - {parts[1]}, f"{name} imports {module}"


STEP_EVERY_DEFAULT = """
import sys
import gymnasium as gym
import textgym
from textgym.registration import TABLE
heavy = {"torch", "transformers", "datasets", "pyarrow", "PIL", "pandas", "matplotlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
for row in TABLE:
    env = gym.make(row.id)
    env.reset(seed=0)
    env.step(0)
    envs = gym.make_vec(row.id, num_envs=2)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_a_default_environment_loads_nothing_heavy() -> None:
    path = str(PACKAGES["textgym"].parent)
    code = f"import sys; sys.path.insert(0, {path!r})\n{STEP_EVERY_DEFAULT}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_package_is_in_the_wheel() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    present = {
        name if path.name == "__init__.py" else name.rsplit(".", 1)[0]
        for name, path in MODULES.items()
    }
    assert listed == present


def test_files_and_functions_stay_small() -> None:
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"{name} has more than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{name}.{node.name} has {length} lines"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_a_module_exports_is_there(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name} has no docstring"
    module = __import__(name, fromlist=["__all__"])
    for exported in getattr(module, "__all__", []):
        assert hasattr(module, exported), f"{name}.{exported}"


def test_nothing_is_unpickled_or_trusted() -> None:
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # check_task pickles what it is given, in memory, as vector environments will.
            if isinstance(node, ast.Import) and name != "textgym.testing":
                assert not {a.name for a in node.names} & {"pickle", "shelve", "dill"}, name
            if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
                value = node.value
                assert not (isinstance(value, ast.Constant) and value.value is True), name
