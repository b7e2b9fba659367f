"""The page in a real browser: no message on its console, and plots that are drawn, in light and dark and on a phone."""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from sanp.report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
GATED = {"light": (15, 127, 110), "dark": (53, 191, 166)}


@pytest.fixture(scope="module")
def page(measured, tmp_path_factory):
    return write_report(measured, tmp_path_factory.mktemp("browser"))


def shot(page, scheme, width):
    """Pixels uint8 [height, width, 3], and what the browser wrote to its log."""
    image = page.with_name(f"{scheme}-{width}.png")
    # 0 is dark, 1 is light: blink::mojom::PreferredColorScheme
    words = [
        "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={page.parent / 'user'}", f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
        f"--window-size={width},3000", f"--screenshot={image}", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run([BROWSER, *words], capture_output=True, text=True, timeout=120, check=True, env=os.environ)
    return np.asarray(Image.open(image).convert("RGB")), done.stderr


@pytest.mark.parametrize(("scheme", "width"), [("light", 1180), ("dark", 1180), ("light", 420)])
def test_plots_are_drawn_and_the_console_is_silent(page, scheme, width):
    pixels, log = shot(page, scheme, width)
    assert "CONSOLE" not in log, log
    background = pixels[2, 2].astype(int)
    assert (background.mean() > 128) == (scheme == "light")
    near = (np.abs(pixels.astype(int) - GATED[scheme]) < 40).all(axis=2)
    assert near.sum() > 500, "the colour of the gated network is in the plots and bars"
    margin = pixels[:, -4:].reshape(-1, 3).astype(int)
    assert (np.abs(margin - background) < 8).all(), "nothing is wider than the page"
