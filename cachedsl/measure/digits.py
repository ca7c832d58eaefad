"""The bundled pipeline, a DiTPipeline trained on scikit-learn's digits, and a classifier that reads them."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Images = npt.NDArray[np.float32]

GUIDANCE_SCALE = 1.5
NUM_INFERENCE_STEPS = 50


def load_digits_pipeline() -> Any:
    """Load the bundled `DiTPipeline` in float32, its own progress bar off."""
    from diffusers import DiffusionPipeline

    with as_file(files("cachedsl.models") / "digits_dit") as folder:
        pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(pipe: Any, labels: list[int], *, seed: int = 0, steps: int = NUM_INFERENCE_STEPS) -> Images:
    """Draw one digit per label with classifier-free guidance.

    Returns:
        `(len(labels), 32, 32, 1)` float32 in [0, 1]; the same for the same arguments.
    """
    images: Images = pipe(
        class_labels=labels,
        guidance_scale=GUIDANCE_SCALE,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).images
    return images


def calibration() -> tuple[Any, dict[str, Any]]:
    """Return the bundled pipeline and the arguments of a call, one sample of each digit, for `cachedsl calibrate`."""
    pipe = load_digits_pipeline()
    return pipe, {"class_labels": list(range(10)), "guidance_scale": GUIDANCE_SCALE, "output_type": "np"}


class DigitReader:
    """A support vector classifier fitted to 70 % of the real digits; `held_out_accuracy` is on the other 30 %."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.svm import SVC

        digits = load_digits()
        train, test, train_labels, test_labels = train_test_split(
            digits.data, digits.target, test_size=0.3, random_state=0
        )
        self._classifier = SVC(gamma="scale").fit(train, train_labels)
        self.held_out_accuracy = float(self._classifier.score(test, test_labels))

    def accuracy(self, images: Images, labels: list[int]) -> float:
        """Return the share of `images` that are read as their label."""
        return float((self._classifier.predict(to_features(images)) == np.array(labels)).mean())


def to_features(images: Images) -> npt.NDArray[np.float32]:
    """Turn `(n, 32, 32, 1)` images in [0, 1] into scikit-learn's `(n, 64)` features in [0, 16]."""
    n = len(images)
    cells = images.reshape(n, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(n, 64)
    features: npt.NDArray[np.float32] = (cells * 16).astype(np.float32)
    return features
