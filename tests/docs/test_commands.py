"""Every command and example of README.md and docs/ runs, page by page; every relative link leads somewhere."""
# SPDX-License-Identifier: Apache-2.0

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import Block, Unmarked, blocks_of
from tests.docs.runner import ROOT, Failed, run_page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
_BLOCK = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`[^`\n]*`")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
OFTEN = "README.md", "own_pictures.md", "runs.md"  # the others by hand


def run(page: Path, marks: tuple[str, ...], folder: Path) -> None:
    """The page's blocks of these marks in a fresh folder, the examples of docs/ in it where the page names them."""
    shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    run_page(page.name, [block for block in blocks_of(page) if block.when in marks], folder)


@pytest.mark.parametrize(
    "page",
    [page if page.name in OFTEN else pytest.param(page, marks=pytest.mark.slow) for page in PAGES],
    ids=lambda page: page.name,
)
def test_the_quick_commands_of_a_page_run(page, tmp_path):
    run(page, ("quick",), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "slow\n" in page.read_text(encoding="utf-8")], ids=lambda page: page.name
)
def test_all_commands_of_a_page_run(page, tmp_path):
    run(page, ("quick", "slow"), tmp_path)


@each_page
def test_every_relative_link_of_a_page_leads_somewhere(page):
    """To a file that is there, and to a heading of it where the link names one."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(_SPAN.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, which is not there"
        assert not heading or heading in headings(file), f"{page.name} links to {target}, and there is no such heading"


def headings(page: Path) -> set[str]:
    """As links name them: in lower case, a hyphen for each space, nothing but letters, digits, _ and -."""
    lines = _BLOCK.sub("", page.read_text(encoding="utf-8")).splitlines()
    titles = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w-]", "", title.replace(" ", "-")) for title in titles}


def test_a_block_without_a_mark_is_told(tmp_path):
    page = tmp_path / "page.md"
    for mark in ("", "sh", "bash", "shell", "console", "sh fast", "sh quick slow", "python later", "text quick"):
        page.write_text(f"words\n\n```{mark}\ntrue\n```\n")
        with pytest.raises(Unmarked, match=r"page\.md line 3: a block is marked"):
            blocks_of(page)
    page.write_text("```sh quick\ntrue\n")
    with pytest.raises(Unmarked, match="never closed"):
        blocks_of(page)


def test_blocks_are_read_as_markdown_has_them(tmp_path):
    page = tmp_path / "page.md"
    listed, nested = "1. so\n\n   ```sh quick\n   a\n     b\n   ```\n", "````text\n```sh\n````\n"
    page.write_text(f"{listed}\n{nested}\n```python manual\nc\n```\n")
    assert blocks_of(page) == [
        Block("sh", "quick", "a\n  b\n", 3),
        Block("text", "never", "```sh\n", 8),
        Block("python", "manual", "c\n", 12),
    ]


def test_blocks_run_in_order_in_one_folder_and_a_failure_shows_its_output(tmp_path):
    """Python blocks share their names; `jaxgen` is this checkout's; a shell block ends at its first failure."""
    blocks = [
        Block("sh", "quick", "echo 3 > number\njaxgen --help > help\npython -c 'import jaxgen'\n", 1),
        Block("python", "quick", "number = int(open('number').read())\n", 2),
        Block("sh", "quick", "echo 4 > number\n", 3),
        Block("python", "quick", "assert (number, int(open('number').read())) == (3, 4)\n", 4),
    ]
    run_page("page.md", blocks, tmp_path)
    assert "Train, sample, score" in (tmp_path / "help").read_text()
    for code, language in (("echo seen; false; echo hidden", "sh"), ("print('seen'); 1 / 0", "python")):
        with pytest.raises(Failed, match=r"(?s)page\.md line 7 ended with 1:.*seen") as failed:
            run_page("page.md", [Block(language, "quick", code, 7)], tmp_path)
        assert "hidden\n" not in str(failed.value).partition(code)[2]
