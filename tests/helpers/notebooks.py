"""Executes a notebook with this interpreter, whatever kernels are installed.

python tests/helpers/notebooks.py docs/notebook.ipynb: writes its outputs into it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

LIMIT_S = 300


class ThisPython(KernelSpecManager):
    """Knows one kernel: this interpreter."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python", language="python")


def executed(file: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in this folder. CellExecutionError if a cell raises."""
    notebook = nbformat.read(file, as_version=4)
    manager = AsyncKernelManager(kernel_spec_manager=ThisPython())
    where = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, km=manager, timeout=LIMIT_S, resources=where).execute()


def write(file: Path) -> None:
    """Executes it in an empty folder and keeps what it shows, without times and warnings."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(file, Path(folder))
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # Warnings of libraries name folders of this machine.
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    nbformat.write(notebook, file)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
