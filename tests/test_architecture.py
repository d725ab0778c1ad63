"""Who may import whom, how long a file may be, what it may be called: read off the source, nothing is run."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("qcompile", "qtrain")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# design.md section 2, left to right: a module imports modules of tiers before its own, or of its own.
TIERS = (
    ("errors",),
    ("device", "device_checks", "native_form", "pareto", "pricing"),
    ("calibration", "schema", "repairs", "prices", "vendors", "layout", "circuit", "ideal", "channels"),
    ("schedule",),
    ("values", "expressions", "fidelity", "observables"),
    ("native", "staleness", "losses", "hellinger", "linear", "line_order", "phase_polynomial"),
    ("estimate", "summary", "unrolling", "lowering", "cancellation", "regions", "binding"),
    ("pulses",),
    ("block_codes", "block_kernels", "block_plain", "blocks", "units"),
    ("placement", "routing", "synthesis"),
    ("compiled", "candidates", "warmup", "cost", "decoupling", "equivalence", "expectation", "verify"),
    ("compile",),
    ("bars", "compare", "coordinates", "draw", "draw_ranking", "imports", "outputs", "plugin", "rank", "tables", "cli"),
)
TIER = {module: number for number, tier in enumerate(TIERS) for module in tier}
LAZY = {("device", "vendors")}  # Device.from_backend and from_target

SDKS = {"qiskit_ibm_runtime", "iqm", "braket", "cirq_google", "cirq"}
LONGEST = 400  # lines
BANNED_NAMES = {"utils", "helpers", "core", "common"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(absolute module, line, inside a function or TYPE_CHECKING block) of everything a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]

    def walk(node: ast.AST, deferred: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno, deferred) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                source = ".".join([*base, *([child.module] if child.module else [])])
                for alias in child.names:
                    whole = f"{source}.{alias.name}"
                    is_module = whole in MODULES
                    yield (whole if is_module else source, child.lineno, deferred)
            inside = deferred or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inside = True
            yield from walk(child, inside)

    yield from walk(tree, False)


MODULES = {module_name(path) for path in SOURCES}


def every_import() -> Iterator[tuple[str, str, str, bool]]:
    """(importing module, imported module, place, deferred)."""
    for path in SOURCES:
        for imported, line, deferred in imports(path):
            yield module_name(path), imported, f"{path.relative_to(ROOT)}:{line}", deferred


def own_tier(module: str) -> str:
    """qcompile.placement.sabre -> placement."""
    return module.split(".")[1]


def test_every_module_of_qcompile_has_a_tier() -> None:
    names = {m.split(".")[1] for m in MODULES if m.startswith("qcompile.")}
    assert names - {"examples"} <= TIER.keys(), "give the new module its place in TIERS"


def test_qcompile_imports_run_from_later_tiers_to_earlier_ones() -> None:
    wrong = []
    for module, imported, place, deferred in every_import():
        if not (module.startswith("qcompile.") and imported.startswith("qcompile.")):
            continue
        here, there = own_tier(module), own_tier(imported)
        if TIER[there] > TIER[here] and not (deferred and (here, there) in LAZY):
            wrong.append(f"{place}: {here} imports {there}")
    assert not wrong


def test_qcompile_never_imports_qtrain_nor_torch() -> None:
    found = [
        place
        for module, imported, place, _ in every_import()
        if module.split(".")[0] == "qcompile" and imported.split(".")[0] in ("qtrain", "torch")
    ]
    assert not found


def test_nobody_imports_tests_or_notebooks() -> None:
    assert not [place for _, imported, place, _ in every_import() if imported.split(".")[0] in ("tests", "notebooks")]


@pytest.mark.parametrize("importer", ["qtrain.gradients", "qtrain.train", "qtrain.layer"])
def test_training_knows_no_concrete_executor(importer: str) -> None:
    found = []
    for module, imported, place, _ in every_import():
        concrete = imported.startswith("qtrain.executors.") and imported != "qtrain.executors.base"
        if (module == importer or module.startswith(f"{importer}.")) and (
            concrete or imported.startswith("qtrain.simulators")
        ):
            found.append(f"{place}: {imported}")
    assert not found


def test_vendor_sdks_are_imported_in_their_rooms_and_inside_functions() -> None:
    found = []
    for module, imported, place, deferred in every_import():
        if imported.split(".")[0] in SDKS:
            allowed = module.startswith("qcompile.vendors.") or module == "qtrain.chip.primitives"
            if not (allowed and deferred):
                found.append(f"{place}: {imported}")
    assert not found


def test_importing_qcompile_loads_neither_torch_nor_a_vendor_sdk() -> None:
    check = f"import qcompile, sys; print(sorted({SDKS | {'torch', 'matplotlib.pyplot'}!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{lines} lines; split it along its tiers of abstraction"


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not [path for path in [*SOURCES, *TESTS] if path.stem.strip("_") in BANNED_NAMES]


def test_nothing_names_a_path_of_one_machine() -> None:
    """Neither the folder beside the checkout nor an absolute path of whoever wrote a file."""
    pattern = re.compile(r"\.\./shared|/(?:work|home|root|Users|tmp)/[A-Za-z0-9_.-]")
    suffixes = {".py", ".md", ".toml", ".txt", ".ipynb", ".qasm", ".json", ""}
    folders = [ROOT / name for name in (*PACKAGES, "devices", "notebooks", "tests", ".ci")]
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()] + [
        p
        for p in ROOT.iterdir()
        if p.is_file() and p.name != ".git"  # a file in a worktree
    ]
    found = []
    for path in files:
        if path.suffix not in suffixes or "__pycache__" in path.parts or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found
