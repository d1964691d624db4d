"""Law 1, imports go down only; law 7, a bare accelerator machine imports what trains; house rules a file can break."""
# SPDX-License-Identifier: Apache-2.0

import ast
import collections
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgen

HOUSE = Path(jaxgen.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))

# What each room may import of the others; a room that is not named here stands on top and may import all below.
BELOW = {
    "errors": set(),
    "atomic_write": set(),
    "disk": {"errors"},
    "types": set(),
    "ops": set(),
    "config": {"errors"},
    "nn": {"ops", "types", "errors"},
    "core": {"ops", "types", "errors"},
    "families": {"ops", "nn", "core", "types", "errors"},
    "training": {"ops", "core", "types", "errors", "atomic_write", "disk"},
    "rewards": {"ops", "core", "types", "errors", "metrics"},
    "metrics": {"ops", "types", "errors", "data", "atomic_write"},
    "data": {"ops", "core", "types", "errors", "environment", "disk"},
    "modalities": {"types", "errors", "core", "data", "metrics", "reporting"},
    "reporting": {"types", "errors", "atomic_write", "disk", ""},
    "cgroups": set(),
    "compile_cache": set(),
    "environment": {"cgroups", "compile_cache"},
    "tracking": {"core"},
    "experiment": {"core", "errors", "training", "rewards", "tracking", "config"},
    "early_stopping": {"errors"},
    "ablation": {"errors", "experiment", "config", "early_stopping"},
    "search_space": {"errors", "experiment", "config", "ablation"},
    "running": {"core", "types", "errors", "experiment", "ablation", "config", "data", "training", "rewards"}
    | {"metrics", "modalities", "reporting", "environment", "atomic_write", "disk", "early_stopping", "search_space"},
    "timing": {"core", "types", "errors", "training", "running"},
    "autotuning": {"core", "types", "errors", "experiment", "config", "running", "timing", "training", "nn"}
    | {"environment", "atomic_write"},
    "play": {"core", "types", "errors", "atomic_write", "reporting", "running"},
}
BARE = {"jax", "flax", "optax", "orbax", "absl", "numpy", "jaxtyping", "rich"}  # packages of a bare accelerator machine


def room(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(path: Path, anywhere: bool) -> set[str]:
    """The dotted modules that a file imports; only at its top level unless `anywhere`."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if anywhere else tree.body
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    nodes = ast.walk(tree) if anywhere else tree.body
    return found | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


def rooms_used(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path, anywhere=True) if name.split(".")[0] == "jaxgen")
    return {name[1] if len(name) > 1 else "" for name in parts} - {room(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_go_down_only(path):
    allowed = BELOW.get(room(path))
    assert allowed is None or rooms_used(path) <= allowed


@pytest.mark.parametrize("path", sorted((HOUSE / "families").rglob("*.py")), ids=str)
def test_a_wing_never_imports_a_wing(path):
    own = path.relative_to(HOUSE / "families").parts[0]
    used = {name.split(".")[2] for name in imports(path, anywhere=True) if name.startswith("jaxgen.families.")}
    families = {name for name in used if (HOUSE / "families" / name).is_dir()}  # not what lies beside them for all
    assert families <= {own}


@pytest.mark.parametrize("path", sorted((HOUSE / "ops").rglob("*.py")), ids=lambda path: path.name)
def test_ops_imports_jax_alone(path):
    packages = {name.split(".")[0] for name in imports(path, anywhere=True)} - set(sys.stdlib_module_names)
    assert packages <= {"jax", "jaxgen"}


@pytest.mark.parametrize("part", ["families", "training", "rewards", "core", "nn", "ops"])
def test_what_trains_imports_on_a_bare_accelerator_machine(part):
    for path in (HOUSE / part).rglob("*.py"):
        packages = {name.split(".")[0] for name in imports(path, anywhere=False)} - set(sys.stdlib_module_names)
        assert packages <= BARE | {"jaxgen"}, path


def test_no_family_is_named_where_every_family_is_trained():
    families = [folder.name for folder in (HOUSE / "families").iterdir() if (folder / "__init__.py").exists()]
    assert {"rnn", "gan"} <= set(families)
    for path in [*(HOUSE / "training").rglob("*.py"), *(HOUSE / "rewards").rglob("*.py")]:
        words = {node.id.lower() for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not words & set(families), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_file_opens_with_a_sentence_about_itself_and_its_licence(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the first line is a sentence about the file"
    assert "# SPDX-License-Identifier: Apache-2.0" in path.read_text()


# Law 9: what a batch is, only these know.
KNOWING = ("types.py", "modalities/", "data/", "nn/conditions.py")
MODALITIES = {"Label", "Tokens", "Image", "Wave", "Clip", "Framing"}
NAMES = {"image", "label", "tokens", "wave", "clip", "source", "caption", "class", "speed"}
OF_TOKENS = {"mask", "segment", "bytes"}  # beside "value"; a task that reads tokens may look at them
READERS = ("ctc_task", "language_model", "text_windows", "token_likelihood", "sequence_to_sequence")
READ_TOKENS = {f"families/{name}.py" for name in READERS}
# from what of a request's "made" is "known"
BEGINNING = READ_TOKENS | {f"families/{name}/task.py" for name in ("diffusion", "gan", "vae")}


def named(node: ast.AST) -> set[str]:
    """The strings that a subscript, or a `get`, of an expression asks for."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return {node.slice.value} if isinstance(node.slice.value, str) else set()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        first = node.args[0]
        return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()
    return set()


def sized(tree: ast.AST) -> set[ast.AST]:
    """All that stands in functions called `sized`, by which a family takes its sizes from the data."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "sized"]
    return {inner for function in functions for inner in ast.walk(function)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_module_knows_a_modality_but_those_whose_business_it_is(path):
    place = str(path.relative_to(HOUSE))
    if place.startswith(KNOWING):
        return
    tree = ast.parse(path.read_text())
    inside = sized(tree)
    outside = [node for node in ast.walk(tree) if node not in inside]
    asked = {name for node in outside for name in named(node)}
    used = {node.id for node in outside if isinstance(node, ast.Name)}
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "jaxgen.types"
        for alias in node.names
    }
    assert not used & imported & MODALITIES, "a modality's class"
    assert not asked & NAMES, "a modality's array"
    assert not asked & OF_TOKENS or place in READ_TOKENS, "an array of tokens"
    assert "known" not in asked or place in BEGINNING, "what is known of an example"


def test_commands_holds_the_verbs_and_nothing_else():
    arguments = ast.parse((HOUSE / "cli_arguments.py").read_text())
    calls = [node for node in ast.walk(arguments) if isinstance(node, ast.Call)]
    verbs = {call.args[1].value for call in calls if isinstance(call.func, ast.Name) and call.func.id == "_verb"}
    assert {"train", "sample"} <= verbs
    assert {path.stem for path in (HOUSE / "commands").iterdir() if path.suffix == ".py"} == verbs | {"__init__"}


def test_no_two_files_have_one_name_where_another_would_tell_them_apart():
    counts = collections.Counter(path.name for path in FILES)
    of_each_family = {"__init__.py", "task.py", "network.py", "encoder_decoder.py", "recogniser.py"}
    assert {name for name, count in counts.items() if count > 1} <= of_each_family


def test_help_answers_without_importing_jax():
    call = "import sys, jaxgen.cli\ntry: jaxgen.cli.main(['train', '--help'])\nexcept SystemExit: pass"
    code = call + "\nassert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
