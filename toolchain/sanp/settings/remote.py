"""Settings of the verbs that can run on a board over SSH."""

from __future__ import annotations

import shlex

from pydantic import Field, field_validator

from sanp.settings.base import Settings


class RemotePart(Settings):
    """On a board, over SSH"""

    host: str | None = Field(None, min_length=1, description="run on this machine, user@board or a name that ssh knows")
    ssh: str = Field("ssh", description="the ssh command, with options of yours such as 'ssh -p 2222 -F FILE'")
    board_python: str = Field("python3", min_length=1, description="Python 3.8 or newer on the board")
    board_folder: str = Field("~/.cache/sanp", min_length=1, description="where the board keeps what was sent to it")
    board_timeout: float = Field(
        3600.0, gt=0, le=604_800, description="seconds after which a command on the board is stopped"
    )
    keep: bool = Field(True, description="leave what was sent on the board, so that it need not be sent again")

    @field_validator("host")
    @classmethod
    def _is_no_option(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("-") or value != value.strip()):
            raise ValueError("Input should be a name such as user@board")
        return value

    @field_validator("ssh")
    @classmethod
    def _is_a_command(cls, value: str) -> str:
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"Input should be a command ({error})") from error
        if not words:
            raise ValueError("Input should be a command such as ssh")
        return value

    @property
    def on_board(self) -> bool:
        """Whether a board was named."""
        return self.host is not None
