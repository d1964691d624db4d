"""Loads the toy family under a name of jaxgen's: only classes that live there come back from a document."""
# SPDX-License-Identifier: Apache-2.0

import importlib.util
import sys
from pathlib import Path

if "jaxgen.families.toy" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("jaxgen.families.toy", Path(__file__).with_name("toy.py"))
    sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_spec.name])
