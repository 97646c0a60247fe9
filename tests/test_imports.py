"""Imports go one way, and starting is quick.

The layers below are the layout of the package. A part may import its own layer and those below, never above, and parts
of one layer never in a circle. Imports inside functions count: they are put off for speed, not for direction.
"""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "fewfit"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "files", "kept"),
    ("render", "draw", "grid", "settings", "stats", "examples", "predictions", "audit", "metrics"),
    ("demonstrations", "models"),
    ("engine",),
    ("writing",),
    ("prompts",),
    ("augment", "judges", "search", "select", "bundle", "predict"),
    ("run",),
    ("api", "plan", "suites", "report", "live", "serve", "export", "bridges"),
    ("cli", "demo"),
    ("__main__",),
)
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
# Beside the package in the repository, and not installed with it.
OUTSIDE = ("lab", "benchmarks")
# What the package itself holds, so that nothing needs the whole face for it.
ROOT_NAMES = {"__version__"}


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, module inside fewfit) for every import of the package; "" stands for the package itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "fewfit" or alias.name.startswith("fewfit."):
                    yield node.lineno, alias.name.removeprefix("fewfit").removeprefix(".")
        elif isinstance(node, ast.ImportFrom):
            base = from_base(node, module, is_package)
            if base is None:
                continue
            for alias in node.names:
                if base:
                    yield node.lineno, f"{base}.{alias.name}"
                elif alias.name in LEVEL:
                    yield node.lineno, alias.name
                elif alias.name not in ROOT_NAMES:
                    yield node.lineno, ""


def from_base(node: ast.ImportFrom, module: str, is_package: bool) -> str | None:
    """What a `from … import` names inside fewfit, relative ones resolved; None where it is another package's."""
    if node.level == 0:
        name = node.module or ""
        return name.removeprefix("fewfit").removeprefix(".") if name.split(".")[0] == "fewfit" else None
    here = module.split(".") if module else []
    if not is_package:
        here = here[:-1]
    here = here[: len(here) - (node.level - 1)]
    return ".".join([*here, *([node.module] if node.module else [])])


def outside(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, part of OUTSIDE) for every import of one."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        yield from ((node.lineno, part) for part in OUTSIDE if part in {name.split(".")[0] for name in names})


def check(package: Path) -> list[str]:
    """Everything wrong with the direction of imports under `package`."""
    wrong: list[str] = []
    edges: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        module = module_name(path, package)
        tree = ast.parse(path.read_text())
        wrong += [
            f"{path.relative_to(package)}:{line}: imports {part}, which is not installed"
            for line, part in outside(tree)
        ]
        if not module:
            continue  # the face: it may offer anything
        part = module.split(".")[0]
        if part not in LEVEL:
            wrong.append(f"{path.name}: part {part!r} has no layer; give it one in LAYERS")
            continue
        for line, target in imports(tree, module, path.name == "__init__.py"):
            where = f"{path.relative_to(package)}:{line}"
            other = target.split(".")[0]
            if not other:
                if LEVEL[part] < LEVEL["cli"]:
                    wrong.append(f"{where}: imports the package's face; import the module that defines the name")
                continue
            if other == part:
                continue
            if other not in LEVEL:
                wrong.append(f"{where}: imports {other!r}, which has no layer")
            elif LEVEL[other] > LEVEL[part]:
                wrong.append(f"{where}: {part} imports {other}, which stands above it")
            else:
                edges.setdefault(part, set()).add(other)
    return wrong + circles(edges)


def module_edges(package: Path) -> dict[str, set[str]]:
    """Which module imports which, a package's own face left out."""
    modules = {module_name(path, package): path for path in package.rglob("*.py")}
    edges: dict[str, set[str]] = {}
    for module, path in modules.items():
        is_face = path.name == "__init__.py"
        for _, target in imports(ast.parse(path.read_text()), module, is_face) if module else ():
            parts = target.split(".")
            while parts and ".".join(parts) not in modules:
                parts.pop()
            found = ".".join(parts)
            if found and found != module and not (is_face and found.startswith(module + ".")):
                edges.setdefault(module, set()).add(found)
    return edges


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Parts that reach themselves."""
    found = []
    for start in sorted(edges):
        reached: set[str] = set()
        todo = list(edges[start])
        while todo:
            part = todo.pop()
            if part not in reached:
                reached.add(part)
                todo += edges.get(part, ())
        if start in reached:
            found.append(f"{start} imports itself in a circle, through {', '.join(sorted(reached - {start}))}")
    return found


def test_imports_keep_their_direction() -> None:
    """Break seen to fail: `from fewfit.grid import Lane` inside a function of errors.py."""
    assert check(PACKAGE) == []


def test_no_module_imports_itself_in_a_circle() -> None:
    """But for `Renderer.resolve`, a second constructor. Break seen to fail: prefix.py importing generate.py."""
    assert [one.split()[0] for one in circles(module_edges(PACKAGE))] == ["render.renderer", "render.resolve"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("draw.py", "def f():\n    from fewfit.engine.stream import run", "draw imports engine, which stands above it"),
        ("engine/plain.py", "import fewfit.cli.main", "engine imports cli, which stands above it"),
        ("engine/plain.py", "from ..select import choose", "engine imports select, which stands above it"),
        ("cli/demo.py", "def f():\n    from lab.tasks import held_out_task", "imports lab, which is not installed"),
        ("__init__.py", "import lab.info", "imports lab, which is not installed"),
        ("select.py", "from fewfit import fit", "the package's face"),
        ("helpers.py", "", "has no layer"),
        ("errors.py", "from .draw import number", "errors imports draw, which stands above it"),
    ],
)
def test_a_wrong_import_is_seen(tmp_path: Path, file: str, text: str, words: str) -> None:
    """Break seen to fail: `ast.walk(tree)` made `tree.body` lets the first one, inside a function, pass."""
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert any(words in line for line in check(tmp_path)), check(tmp_path)


def test_a_circle_is_seen(tmp_path: Path) -> None:
    (tmp_path / "draw.py").write_text("from fewfit import stats")
    (tmp_path / "stats.py").write_text("from fewfit.grid import Lane")
    assert check(tmp_path) == []
    (tmp_path / "grid.py").write_text("from fewfit.draw import number")
    assert any("in a circle" in line for line in check(tmp_path))


def test_right_imports_pass(tmp_path: Path) -> None:
    for folder in ("bundle", "cli", "engine"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bundle" / "card.py").write_text("from fewfit.models import installed")
    (tmp_path / "cli" / "main.py").write_text("def f():\n    from fewfit import bundle, fit")
    (tmp_path / "engine" / "stream.py").write_text("from fewfit import __version__, draw\nfrom .plain import step")
    assert check(tmp_path) == []


def test_the_version_stands_in_one_way() -> None:
    import fewfit

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert fewfit.__version__ == project["version"]


STARTS = {
    "import fewfit": "import fewfit",
    "import fewfit.cli.main": "import fewfit.cli.main",
    "fewfit --help": (
        "import sys, contextlib, io; sys.argv = ['fewfit', '--help']; from fewfit.cli.main import main\n"
        "try:\n    with contextlib.redirect_stdout(io.StringIO()): main()\n"
        "except SystemExit as e:\n    assert not e.code, e.code"
    ),
}
HEAVY = ("torch", "transformers", "peft", "scipy", "pandas", "datasets")


@pytest.mark.parametrize("name", STARTS)
def test_starting_loads_nothing_heavy(name: str) -> None:
    """Break seen to fail: `import torch` at the top of errors.py."""
    code = f"{STARTS[name]}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", STARTS)
def test_starting_is_quick(name: str) -> None:
    """Break seen to fail: `import torch` at the top of errors.py (about two seconds)."""
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", STARTS[name]], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Seconds of the processor, not of the clock: those depend on what else the machine has to do.
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert best < 0.4, f"{name} takes {best:.2f} s"
