"""How fast a dataset is evaluated, beside a bare loop over the same predictor and the same batches, in turns."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.digits_manifest import write_manifest
from benchmarks.fresh_process import DIGITS, run_subject
from benchmarks.table import Row, paired

BATCH_SIZES = (1, 32, 256)
ROWS = {1: 135_000, 32: 900_000, 256: 900_000}
"""By batch size: about two seconds of prediction, long beside what opening a dataset takes."""


def _write(folder: Path, rows: int) -> tuple[Path, Path]:
    """The held-out digits, pre-processed and repeated, as an npz, and a manifest that reads them as they are."""
    with np.load(DIGITS / "digits-heldout.npz") as data:
        images = (data["images"].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
        labels = data["labels"]
    dataset = folder / "rows.npz"
    np.savez(dataset, images=np.resize(images, (rows, 1, 8, 8)), labels=np.resize(labels, rows))
    manifest = write_manifest(
        folder,
        batch_sizes=list(BATCH_SIZES),
        inputs=[{"name": "image", "dtype": "float32", "layout": "NCHW", "shape": ["batch", 1, 8, 8]}],
        dataset={"source": "npz", "path": dataset.name, "inputs": {"image": "images"}, "label": "labels"},
    )
    return manifest, dataset


def accuracy(*, quick: bool) -> list[Row]:
    """Samples a second, dataset reading and scoring included on our side alone."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for batch_size in BATCH_SIZES:
            manifest, dataset = _write(Path(folder), ROWS[batch_size] // (10 if quick else 1))
            rounds = [
                run_subject("accuracy_in_turns", str(manifest), str(dataset), str(batch_size), "1" if quick else "5")
                for _ in range(2 if quick else 7)
            ]
            ours, bare = ([each[side] for each in rounds] for side in ("ours", "bare"))
            rows.append(
                paired(
                    f"accuracy, batches of {batch_size}", ours, bare, unit="rows/s", other_is="bare loop", at_least=0.95
                )
            )
    return rows
