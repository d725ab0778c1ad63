"""The notebooks run from top to bottom, define no functions, and are committed with what they print.

`python tests/test_notebook.py` runs them and writes their outputs.
"""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Executed in place, without the times of execution."""
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def shapes(notebook: nbformat.NotebookNode) -> list[list[tuple[str, ...]]]:
    """What each cell puts out: kinds and MIME types, not numbers; printed text may come in any number of pieces."""
    return [
        sorted({(output.output_type, *sorted(output.get("data", ()))) for output in cell.outputs})
        for cell in code_cells(notebook)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_puts_out_what_is_committed(path: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's
    monkeypatch.setenv("QONCHIP_DEVICES", str(tmp_path / "devices"))
    committed = read(path)
    executed = run(read(path), tmp_path)
    assert shapes(executed) == shapes(committed), "run `python tests/test_notebook.py` and commit the notebook"
    for cell in code_cells(executed):
        assert not [o for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_committed_executed_and_defines_nothing(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    source = "\n".join(line for cell in cells for line in cell.source.splitlines() if not line.startswith("%"))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, defined)]
    assert path.stat().st_size < 1_000_000


if __name__ == "__main__":
    for each in NOTEBOOKS:
        nbformat.write(run(read(each), FOLDER), each)
