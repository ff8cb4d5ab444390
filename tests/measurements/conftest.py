"""A manifest over rows that a test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_mlscope.components.datasets.base import Column
from pytest_mlscope.components.metrics.top_k import Top1
from pytest_mlscope.components.preprocessing.base import PreprocessingStep
from pytest_mlscope.components.registry import Registry
from pytest_mlscope.manifest.loaded import BoundMetric, LoadedManifest
from pytest_mlscope.manifest.schema.manifest import Manifest
from tests.measurements.given_rows import STEPS, GivenDataset, GivenSource


@pytest.fixture
def manifest() -> Iterator[Callable[..., LoadedManifest]]:
    """A manifest with one input ``image`` of 8×8 and rows filled with their own number."""

    def make(
        data: Mapping[str, Column] | None = None,
        *,
        rows: int = 100,
        steps: Sequence[PreprocessingStep] = STEPS,
        variants: Mapping[str, Sequence[PreprocessingStep]] | None = None,
        labels: Sequence[str] | None = None,
        class_names: tuple[str, ...] | None = None,
        dataset: Mapping[str, Any] | None = None,
        inputs: Sequence[Mapping[str, Any]] = ({"name": "image", "shape": ["batch", 1, 2, 2]},),
    ) -> LoadedManifest:
        if data is None:
            numbers = np.arange(rows)
            data = {
                "image": np.broadcast_to(numbers[:, None, None], (rows, 2, 2)).astype(np.uint8),
                "label": numbers % 10,
            }
        source: Mapping[str, Column] = data
        GivenDataset.made = lambda: GivenSource(source, class_names)
        content = Manifest.model_validate(
            {
                "schema": 1,
                "name": "model",
                "version": "1",
                "task": "image_classification",
                "frameworks": {"onnxruntime": {"files": {"model": {"path": "model.onnx"}}}},
                "inputs": [dict(each) for each in inputs],
                "outputs": [{"name": "scores"}],
                "dataset": {"source": "given", "label": "label", **(dataset or {})},
            }
        )
        recipes = {"stated": steps, **(variants or {})}
        return LoadedManifest(
            path=Path("model.mlscope.yml"),
            sha256="",
            content=content,
            registry=Registry(),
            dataset=GivenDataset(),
            metrics=(BoundMetric("top1", Top1(), "scores", (dataset or {}).get("label", "label")),),
            preprocessing={
                name: {each.name: tuple(recipe) for each in content.inputs} for name, recipe in recipes.items()
            },
            postprocessing={},
            labels={} if labels is None else {"scores": tuple(labels)},
        )

    yield make
    GivenDataset.sources.clear()
