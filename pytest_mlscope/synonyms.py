"""What people call frameworks, devices, metrics and types elsewhere: by letters alone they are far from ours."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[\s._/-]+")

# From one of our names to what else it is called, in lower case and without separators. Of several names, the first
# that may stand in the place is meant: "float" is float32 as a dtype, and fp32 as a precision.
_ALSO_CALLED: dict[str, str] = {
    # frameworks
    "onnxruntime": "onnx onnxrt ort",
    "pytorch": "torch libtorch torchscript",
    "tensorflow": "tf tf2 keras savedmodel",
    "litert": "tflite tensorflowlite tfl",
    "tensorrt": "trt",
    "openvino": "ov openvinotoolkit",
    "opencv-dnn": "cv2 cv opencv",
    "paddle": "paddlepaddle pdmodel",
    "jax": "flax",
    "executorch": "et",
    # hardware
    "cuda": "gpu nvidia nvidiagpu geforce cudnn",
    "rocm": "amd amdgpu hip radeon",
    "coreml": "apple mps metal ane",
    "cpu": "processor host",
    "cpu_x86_64": "x86 x8664 x64 amd64 intel",
    "cpu_aarch64": "arm arm64 aarch64",
    # metrics
    "top1": "accuracy acc top1accuracy accuracyscore categoricalaccuracy",
    "top5": "top5accuracy",
    "top_k": "topkaccuracy",
    "mean_absolute_error": "mae l1 meanabsoluteerror absoluteerror",
    "root_mean_squared_error": "rmse mse rms l2 meansquarederror",
    # precisions and dtypes
    "fp32": "float float32 single f32 full tf32",
    "fp16": "half float16 f16",
    "bf16": "bfloat16 brainfloat",
    "int8": "i8 qint8 quantized quantised",
    "framework_default": "default native auto any",
    "float32": "float single f32 fp32 real",
    "float16": "half f16 fp16",
    "float64": "double f64 fp64",
    "int64": "int integer long i64",
    "int32": "i32",
    "int16": "short i16",
    "uint8": "byte u8 uchar",
    "bool": "boolean",
    # scenarios and measurements
    "single_stream": "single",
    "multi_stream": "multi",
    "offline": "throughput batch",
    "server": "online poisson",
    "latency": "performance speed time perf benchmark",
    "parity": "equivalence agreement",
    # datasets
    "image_folder": "images imagefolder folder imagenet directory",
    "npz": "numpy",
    "csv": "tsv pandas table",
    "sklearn": "scikitlearn scikit toy",
    "random": "synthetic dummy fake noise",
    # steps
    "normalise": "standardise standardize meanstd",
    "layout": "transpose permute nchw nhwc totensor",
    "cast": "astype dtype convert",
    "scale": "rescale multiply divide",
    "color": "colour grayscale greyscale gray grey bgr rgb",
    "crop": "centercrop centrecrop",
    "reshape": "flatten squeeze unsqueeze expanddims view",
    "decode": "imread load open",
    "argmax": "class predict",
}


_OF_SEVERAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("performance perf speed benchmark timing", ("latency", "throughput")),
)
"""Words for more than one of our names."""


def _bare(word: str) -> str:
    return _SEPARATORS.sub("", word.casefold())


def several(word: str, names: list[str]) -> tuple[str, ...]:
    """Those of ``names`` that ``word`` may equally mean; none where it means one, or none.

    >>> several("performance", ["accuracy", "latency", "throughput"])
    ('latency', 'throughput')
    """
    for others, ours in _OF_SEVERAL:
        found = tuple(name for name in ours if name in names)
        if len(found) > 1 and _bare(word) in others.split():
            return found
    return ()


def synonym(word: str, names: list[str]) -> str | None:
    """The one of ``names`` that ``word`` means in the field, where it is known.

    A part of a longer name counts as well.

    >>> synonym("torch", ["onnxruntime", "pytorch"])
    'pytorch'
    >>> synonym("top-1", ["top1", "top5"])
    'top1'
    >>> synonym("batch", ["threads", "batch_size"])
    'batch_size'
    """
    bare = _bare(word)
    if not bare:
        return None
    there = set(names)
    for name, others in _ALSO_CALLED.items():
        if name in there and bare in others.split():
            return name
    same = next((name for name in names if _bare(name) == bare), None)
    if same is not None:
        return same
    # Words of one or two letters are a part of too many names to mean one.
    return next((name for name in names if bare in _SEPARATORS.split(name.casefold())), None) if len(bare) > 2 else None
