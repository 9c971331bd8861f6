"""The till of the documentation, as a module."""

import importlib.util
from pathlib import Path
from types import ModuleType


def till() -> ModuleType:
    """The example of the documentation."""
    path = Path(__file__).parents[2] / "docs" / "examples" / "till.py"
    spec = importlib.util.spec_from_file_location("till", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
