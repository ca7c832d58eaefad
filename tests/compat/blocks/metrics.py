# docs/user_guide/METRICS.md
import os
import pathlib
import tempfile

import numpy as np
from cache_dit.metrics import compute_psnr, compute_ssim
from PIL import Image

folder = pathlib.Path(tempfile.mkdtemp())
noise = np.random.default_rng(0)
for name in ("true_dir", "test_dir"):
    (folder / name).mkdir()
    for number in range(2):
        pixels = noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{number}.png")
os.chdir(folder)
Image.open("true_dir/0.png").save("true.png")
Image.open("test_dir/0.png").save("test.png")

psnr, n = compute_psnr("true.png", "test.png")  # Num: n
assert n == 1
psnr, n = compute_psnr("true_dir", "test_dir")
assert n == 2
ssim, n = compute_ssim("true_dir", "test_dir")
assert n == 2
