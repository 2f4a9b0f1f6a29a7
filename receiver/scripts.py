"""Load the Lua scripts: names of keys, how long things are kept, what scripts share, then the script itself."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from receiver.keeping import Keeping
from receiver.layout import Layout

_DEFAULT: Final = Keeping()


def load_script(layout: Layout, package: str, name: str, keeping: Keeping = _DEFAULT) -> str:
    """The source of ``<package>/lua/<name>.lua`` for one queue, ready for ``register_script``.

    The script's first line (``#!lua flags=…``) stays first: it tells the server whether the script may run when
    memory is full.
    """
    shebang, _, body = (files(package) / "lua" / f"{name}.lua").read_text("utf-8").partition("\n")
    common = (files("receiver") / "lua" / "common.lua").read_text("utf-8")
    return "\n".join([shebang, layout.lua_names(), keeping.lua_constants(), common, body])
