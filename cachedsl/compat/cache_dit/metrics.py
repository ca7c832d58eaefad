"""How far images and videos are apart: scikit-image's measures, over two files or two folders of the same names."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Image = Any
"""A file's path, or an array `(height, width, channels)` of values from 0 to 255."""

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".gif", ".webm", ".avi", ".mov", ".mkv")


def compute_psnr(image_true: Image, image_test: Image) -> tuple[float | None, int | None]:
    """Return the peak signal-to-noise ratio in dB, and over how many pairs it is the mean; equal pairs do not count.

    Raises:
        ValueError: two images have other sizes, or two folders have no names in common.
        FileNotFoundError: there is no such file.
    """
    return _over_pairs(image_true, image_test, _psnr, IMAGES, _images)


def compute_mse(image_true: Image, image_test: Image) -> tuple[float | None, int | None]:
    """Return the mean squared error of values from 0 to 255, and over how many pairs it is the mean."""
    return _over_pairs(image_true, image_test, _mse, IMAGES, _images)


def compute_ssim(image_true: Image, image_test: Image) -> tuple[float | None, int | None]:
    """Return the structural similarity, and over how many pairs it is the mean."""
    return _over_pairs(image_true, image_test, _ssim, IMAGES, _images)


def compute_video_psnr(video_true: str, video_test: str) -> tuple[float | None, int | None]:
    """Return `compute_psnr` over the frames of videos, and how many frames there are."""
    return _over_pairs(video_true, video_test, _psnr, VIDEOS, _frames)


def compute_video_mse(video_true: str, video_test: str) -> tuple[float | None, int | None]:
    """Return `compute_mse` over the frames of videos, and how many frames there are."""
    return _over_pairs(video_true, video_test, _mse, VIDEOS, _frames)


def compute_video_ssim(video_true: str, video_test: str) -> tuple[float | None, int | None]:
    """Return `compute_ssim` over the frames of videos, and how many frames there are."""
    return _over_pairs(video_true, video_test, _ssim, VIDEOS, _frames)


def _mse(true: Image, test: Image) -> float:
    from skimage.metrics import mean_squared_error

    return float(mean_squared_error(true, test))


def _psnr(true: Image, test: Image) -> float:
    error = _mse(true, test)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _ssim(true: Image, test: Image) -> float:
    from skimage.metrics import structural_similarity

    return float(structural_similarity(true, test, channel_axis=2, data_range=255))


def _over_pairs(
    true: Image,
    test: Image,
    measure: Callable[[Image, Image], float],
    suffixes: Sequence[str],
    read: Callable[[Image], Iterator[Image]],
) -> tuple[float | None, int | None]:
    if isinstance(true, str | os.PathLike) and os.path.isdir(true) and os.path.isdir(test):
        pairs: list[tuple[Image, Image]] = list(_matched(Path(true), Path(test), suffixes))
        if not pairs:
            raise ValueError(f"{true} and {test} have no files of the same name that end in {', '.join(suffixes)}")
    else:
        pairs = [(true, test)]
    values = []
    for one, other in pairs:
        for left, right in zip(read(one), read(other), strict=False):
            if left.shape != right.shape:
                raise ValueError(f"{one} is {left.shape} and {other} is {right.shape}; compare images of one size")
            values.append(measure(left, right))
    finite = [value for value in values if value != math.inf]
    if not finite:
        return (math.inf, len(values)) if len(values) == 1 else (None, None)
    return sum(finite) / len(finite), len(values)


def _matched(true: Path, test: Path, suffixes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of two folders that have the same name, in the order of their last numbers."""
    others = {path.name: path for path in test.rglob("*") if path.suffix.lower() in suffixes}
    found = [path for path in true.rglob("*") if path.suffix.lower() in suffixes and path.name in others]
    for path in sorted(found, key=lambda path: (_number(path.name), path.name)):
        yield str(path), str(others[path.name])


def _number(name: str) -> int:
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else -1


def _images(source: Image) -> Iterator[Image]:
    """Yield the one image of a file, or the array that is given."""
    if not isinstance(source, str | os.PathLike):
        yield np.asarray(source)
        return
    from PIL import Image as Pillow

    with Pillow.open(source) as image:
        yield np.asarray(image.convert("RGB"))


def _frames(source: Image) -> Iterator[Image]:
    """Yield the frames of a video: those of Pillow for GIFs, else imageio's."""
    if str(source).lower().endswith(".gif"):
        from PIL import Image as Pillow
        from PIL import ImageSequence

        with Pillow.open(source) as film:
            for frame in ImageSequence.Iterator(film):
                yield np.asarray(frame.convert("RGB"))
        return
    try:
        import imageio.v3 as imageio
    except ImportError:
        raise ImportError("videos other than GIFs are read by imageio: pip install 'imageio[pyav]'") from None
    yield from imageio.imiter(source)


_ABSENT = {
    "compute_fid": "cleanfid, or torchmetrics' FrechetInceptionDistance",
    "compute_video_fid": "torchmetrics' FrechetInceptionDistance",
    "FrechetInceptionDistance": "torchmetrics' class of this name",
    "compute_lpips": "the package lpips, or torchmetrics' LearnedPerceptualImagePatchSimilarity",
    "compute_clip_score": "torchmetrics' CLIPScore",
    "compute_image_reward": "the package image-reward",
    "compute_reward_score": "the package image-reward",
    "entrypoint": "the functions of this module",
    "main": "the functions of this module",
}


def __getattr__(name: str) -> Any:
    if name in _ABSENT:
        message = f"{name}() needs a trained model, which cachedsl does not bring; use {_ABSENT[name]}"
        if name in ("entrypoint", "main"):
            message = f"{name}() is cache-dit's command line; use {_ABSENT[name]}"
        raise NotImplementedError(message)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
