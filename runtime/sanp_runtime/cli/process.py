"""What a command says when the system fails it: no memory, a full or closed standard output."""

from __future__ import annotations

import errno
import io
import os
import sys

# Numbers of sysexits.h where it has one: EX_OSERR, EX_IOERR; 128 + SIGPIPE.
NO_MEMORY, NO_OUTPUT, BROKEN_PIPE = 71, 74, 141
NO_MEMORY_SENTENCE = "there is not enough memory for this, expected more of it; use a smaller batch or fewer samples"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF)


# What PyTorch says on a GPU and, in two versions, on a CPU; what ONNX Runtime says.
_NO_MEMORY_MARKS = ("out of memory", "not enough memory", "can't allocate memory", "failed to allocate memory")


class ClosedOutput(io.TextIOBase):
    """Standard output of a process that was started without one (`>&-`): a result that goes nowhere is a failure."""

    def write(self, text: str) -> int:
        """Fail as the closed stream does."""
        raise OSError(errno.EBADF, "it is closed")


def lacks_memory(error: BaseException) -> bool:
    """True if memory of the machine or of a GPU ran out; libraries say so in errors of several types."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(mark in str(error).lower() for mark in _NO_MEMORY_MARKS)


def is_output_failure(error: OSError) -> bool:
    """True if writing to an open stream failed, as to a full disk; an error about a file has the name of the file."""
    return error.errno in _FULL and error.filename is None


def output_sentence(error: OSError) -> str:
    """The failure in one line."""
    return (
        f"the output cannot be written ({error.strerror or error}), expected a standard output with free space; "
        "send it elsewhere and run the command again"
    )


def drop_output() -> None:
    """Send what is still buffered nowhere, so that the end of the process does not fail on it again."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # a stream without a file
        return
    os.close(null)
