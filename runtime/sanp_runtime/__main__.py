"""`python -m sanp_runtime`: run, test and measure a bundle on a device that has nothing but numpy and onnxruntime."""

from __future__ import annotations

import sys

from sanp_runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
