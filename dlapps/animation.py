"""Frames as what plays them: an endless GIF, and the piece of HTML that holds it still."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

# No script: a checkbox says which of two pictures is there. Who asks for reduced motion begins with the still.
PLAYER = """<style>
.dlapps-motion { display: block; cursor: pointer; font-size: .75rem; }
.dlapps-motion img { display: block; max-width: 100%; height: auto; }
@media (prefers-reduced-motion: no-preference) {
  .dlapps-motion input:not(:checked) ~ .still, .dlapps-motion :checked ~ .moving { display: none; }
}
@media (prefers-reduced-motion: reduce) {
  .dlapps-motion input:not(:checked) ~ .moving, .dlapps-motion :checked ~ .still { display: none; }
}
</style>"""


def encode_frames(frames: np.ndarray, frames_per_second: int) -> tuple[bytes, list[bytes]]:
    """uint8 (F, H, W, 3) as an endless GIF whose last frame stays for two seconds, and as one JPEG a frame."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2:
        raise ValueError(
            f"expected frames uint8 (F, H, W, 3) with F >= 2, got {frames.dtype} {frames.shape}; images.from_pixels "
            "makes them of pixels in [0, 1]."
        )
    pictures = [Image.fromarray(frame) for frame in frames]
    files = [io.BytesIO() for _ in range(len(frames) + 1)]
    durations = [1000 // frames_per_second] * (len(frames) - 1) + [2000]
    pictures[0].save(files[0], "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    for picture, file in zip(pictures, files[1:], strict=True):
        picture.save(file, "JPEG", quality=80)
    return files[0].getvalue(), [file.getvalue() for file in files[1:]]


def make_player(gif: bytes, still: bytes) -> str:
    """HTML that plays the GIF; a click, or the key of space, changes it for the still (a JPEG) and back."""
    with Image.open(io.BytesIO(still)) as picture:
        width, height = picture.size

    def image(name: str, kind: str, content: bytes, alt: str) -> str:
        source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        return f'<img class="{name}" src="{source}" width="{width}" height="{height}" alt="{alt}">'

    words = '<span class="moving">Pause</span><span class="still">Play</span>'
    images = image("moving", "gif", gif, "the animation") + image(
        "still", "jpeg", still, "the animation, its last frame"
    )
    return f'{PLAYER}\n<label class="dlapps-motion"><input type="checkbox"> {words}{images}</label>'
