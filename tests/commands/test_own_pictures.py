"""The experiments for a folder of one's own: described, and how they understand the folder."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from PIL import Image

from jaxgen.commands.describe import describe
from jaxgen.running.command_line import Changes
from tests.commands.command import OF_FOLDERS, ROOT


def draw(folder, classes: tuple[str, ...]) -> None:
    for number in range(8):
        file = folder / classes[number % len(classes)] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30), (9 * number, 0, 0)).save(file)


@pytest.mark.parametrize("config", OF_FOLDERS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("classes", [("",), ("ants", "bees")], ids=["no classes", "classes"])
def test_an_experiment_for_a_folder_says_what_it_is_and_how_it_understands_the_folder(
    config, classes, tmp_path, monkeypatch, capsys
):
    text, name = config.read_text(), str(config.relative_to(ROOT))
    for word in ("jaxgen train --config " + name, "Expect", "cores"):
        assert len(text.splitlines()) <= 60 and word in text.split('"""')[1], f"{name} does not say {word!r}"
    draw(tmp_path / "pictures", classes)
    monkeypatch.chdir(tmp_path)
    assert describe(str(config), Changes()) == 0
    said = capsys.readouterr().out
    assert (
        "parameters" in said and ("2 classes (ants, bees)" if classes[0] else "no classes; pictures: 7 train") in said
    )
