"""The ssh command line, and the text that becomes the board's side of the connection."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import sanp_runtime
from sanp.settings.remote import RemotePart
from sanp_runtime.board.frames import MAGIC

# What scp gives too: nothing interactive, and no forwarding that a second connection could not have. Who is trusted,
# with which key and by which way, is what the user configured.
_OPTIONS = (
    "-x",
    "-T",
    "-oBatchMode=yes",
    "-oForwardAgent=no",
    "-oPermitLocalCommand=no",
    "-oClearAllForwardings=yes",
    "-oRemoteCommand=none",
    "-oRequestTTY=no",
)

# No quotes, backslashes or dollars inside: the login shell of a board may be any.
_READER = "import sys;exec(sys.stdin.buffer.read(int(sys.argv[1])))"

# The oldest Python that runs sanp_runtime is also asked for by what cannot be parsed there.
_BOOT = """
import sys
if sys.version_info < (3, 8):
    sys.stdout.write("{magic}" + '{{"op":"fault","kind":"python","version":"%d.%d","size":0}}' % sys.version_info[:2])
    sys.stdout.write("\\n")
    sys.exit(0)
import importlib.abc, importlib.util
SOURCES = {sources}
class Sent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=not SOURCES[name])
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(SOURCES[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Sent())
from sanp_runtime.board.server import main
main()
"""


def ssh_command(remote: RemotePart, program: bytes) -> list[str]:
    """Arguments that start Python on the board, which then reads this program from its standard input."""
    assert remote.host is not None
    line = f"exec {remote.board_python} -c '{_READER}' {len(program)}"
    return [*shlex.split(remote.ssh), *_OPTIONS, "--", remote.host, line]


def board_program() -> bytes:
    """`sanp_runtime.board` as one text, whose modules import each other as they do here."""
    folder = Path(str(sanp_runtime.__file__)).parent / "board"
    sources = {"sanp_runtime": "", "sanp_runtime.board": ""}
    for path in sorted(folder.glob("[a-z]*.py")):
        sources[f"sanp_runtime.board.{path.stem}"] = path.read_text(encoding="utf-8")
    magic = MAGIC.decode().replace("\n", "\\n")
    return _BOOT.format(magic=magic, sources=json.dumps(sources)).encode()
