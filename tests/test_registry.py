"""Operators by name, without importing all of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradproof.derive.errors import DefinitionError
from gradproof.derive.registry import find, operators


def test_each_operator_is_found_by_its_name() -> None:
    assert {name: find(name) for name in operators()} == operators()
    with pytest.raises(DefinitionError, match="no operator 'nothing'; known: accumulate, adam"):
        find("nothing")


def test_one_operator_does_not_import_the_others() -> None:
    code = (
        "import sys\n"
        "from gradproof.derive.registry import find\n"
        "assert find('running_average').name == 'running_average'\n"
        "assert not any(m.endswith(('ops.conv3d', 'ops.second')) for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
