"""The notebook runs from top to bottom: its code cells in order, in a fresh process that has no Jupyter."""
# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from tests.docs.blocks import Block
from tests.docs.runner import ROOT, run_page

NOTEBOOK = ROOT / "docs" / "first_run.ipynb"
FEWER = ('"steps": 300', '"steps": 20'), ('"steps": 400', '"steps": 25')  # of the same cells


@pytest.mark.slow
def test_its_cells_run_in_order(tmp_path):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    blocks = []
    for number, text in enumerate(code):
        for many, few in FEWER:
            text = text.replace(many, few)
        blocks.append(Block("python", "quick", text, number))
    assert sum(many in text for text in code for many, _ in FEWER) == len(FEWER)
    run_page(NOTEBOOK.name, blocks, tmp_path)


def test_it_is_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
