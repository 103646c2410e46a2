"""The Lua scripts of the job store, one file each; `lib.lua` stands in front of every one."""

from pathlib import Path
from typing import Any

from redis.commands.core import Script

from pinwheel.store.connection import Client
from pinwheel.store.keys import PREFIX

FOLDER = Path(__file__).parent


class Scripts:
    """`scripts.run("beat", …)` runs `beat.lua` on the server, loading it when the server does not know it yet."""

    def __init__(self, client: Client) -> None:
        library = (FOLDER / "lib.lua").read_text()
        self._scripts: dict[str, Script] = {
            path.stem: client.register_script(library + path.read_text())
            for path in sorted(FOLDER.glob("*.lua"))
            if path.stem != "lib"
        }

    def run(self, name: str, *args: str | bytes | int | float) -> list[Any]:
        """The script's answer with every text decoded."""
        answer = self._scripts[name](keys=[PREFIX], args=args)
        return [item.decode() if isinstance(item, bytes) else item for item in answer]
