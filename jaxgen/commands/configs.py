"""`jaxgen configs`: the experiments that ship, told, shown, or copied to be changed."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

from jaxgen.atomic_write import write_whole
from jaxgen.config.shipped import listed, shipped_config, shipped_configs, shipped_files
from jaxgen.errors import UserError
from jaxgen.standard_streams import put_out


def configs(name: str | None, to: str | None) -> int:
    """A line for each without a name; with one, the file itself on stdout, or copied whole below the folder `to`."""
    if name is None and to is not None:
        raise UserError("--to copies what is named; name an experiment, such as rnn/digits, or configs for all of them")
    if name is None:
        for line in listed(shipped_configs()):
            put_out(line)
    elif to is None:
        _show(name)
    else:
        _copy(name, Path(to))
    return 0


def _show(name: str) -> None:
    """Of an experiment its text, of a folder the paths in it."""
    file = shipped_config(name)
    put_out("\n".join(shipped_files(name)) if file is None else file.read_text(encoding="utf-8").removesuffix("\n"))


def _copy(name: str, to: Path) -> None:
    """Nothing is overwritten: where one of the files is there with another content, none is copied."""
    files = {to / path: file.read_bytes() for path, file in shipped_files(name).items()}
    for path, content in files.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise UserError(f"{path} is there already and differs; move it, or give another --to")
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise UserError(f"{path} could not be written ({error.strerror}); give another --to") from None
        put_out(path)
