"""One process trains in a folder, where the system can say so; where it cannot, a remark, and the run goes on."""
# SPDX-License-Identifier: Apache-2.0

import errno
import os
import subprocess
import sys

import pytest

from jaxgen.errors import UserError
from jaxgen.training.folder import RunFolder
from tests.commands.command import ROOT

fcntl = pytest.importorskip("fcntl")


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.remark is None
    with pytest.raises(UserError, match="another process is training in"):
        RunFolder(tmp_path / "run")
    folder.close()
    RunFolder(tmp_path / "run").close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=lambda n: errno.errorcode[n])
def test_a_disk_without_locks_is_one_remark(number, tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = RunFolder(tmp_path / "run")
    assert "is not locked (its disk has no file locks" in folder.remark and os.strerror(number) in folder.remark
    folder.write("x.txt", "written")
    folder.close()


def test_another_failure_to_lock_is_told(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match="give another --workdir"):
        RunFolder(tmp_path / "run")


def test_a_system_without_fcntl_is_one_remark(tmp_path):
    code = "import sys; sys.modules['fcntl'] = None\nfrom jaxgen.training.folder import RunFolder\n"
    code += "folder = RunFolder(sys.argv[1]); folder.write('x.txt', 'written'); print(folder.remark); folder.close()"
    arguments = [sys.executable, "-c", code, str(tmp_path / "run")]
    process = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert "is not locked (this system has no file locks)" in process.stdout, process.stderr
    assert (tmp_path / "run" / "x.txt").read_text() == "written"
