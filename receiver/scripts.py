"""Load the Lua scripts: names of keys, how long things are kept, what scripts share, then the script itself."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from receiver.keeping import Keeping
from receiver.layout import Layout

_DEFAULT: Final = Keeping()
# What is put before the scripts of a package. Every function in it costs each call of them a little.
_SHARED: Final = {
    "receiver": [("receiver", "common")],
    "workers": [("receiver", "common"), ("workers", "kept")],
}


def load_script(layout: Layout, package: str, name: str, keeping: Keeping = _DEFAULT) -> str:
    """The source of ``<package>/lua/<name>.lua`` for one queue, ready for ``register_script``.

    The script's first line (``#!lua flags=…``) stays first: it tells the server whether the script may run when
    memory is full.
    """
    shebang, _, body = _source(package, name).partition("\n")
    shared = [_source(*one) for one in _SHARED[package]]
    return "\n".join([shebang, layout.lua_names(), keeping.lua_constants(), *shared, body])


def _source(package: str, name: str) -> str:
    # By the package's folder: `importlib.resources` would add half a megabyte to the web process.
    folder = Path(import_module(package).__path__[0])
    return (folder / "lua" / f"{name}.lua").read_text("utf-8")
