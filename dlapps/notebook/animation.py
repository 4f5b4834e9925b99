"""Frames as what plays them: an endless GIF, and the piece of HTML that stops where one wants to look."""

import base64
import io

import numpy as np
from PIL import Image

HOLD = 2  # seconds that the last frame stays
LONGEST = 65_500  # rows that a JPEG may have

# No script: all frames are one tall picture behind a window, and a checkbox says whether it moves. Who asks for reduced
# motion begins with the last frame, at rest.
PLAYER = """<style>
@keyframes {name} {{
  from {{ object-position: 0 0; animation-timing-function: steps({steps}); }}
  {share:.2%}, to {{ object-position: 0 100%; }}
}}
.dlapps-motion {{ display: block; cursor: pointer; font-size: .75rem; }}
.dlapps-motion img {{ display: block; max-width: 100%; height: auto; object-fit: cover; }}
.{name} {{ width: {width}px; aspect-ratio: {width} / {height}; animation: {name} {total:.3f}s infinite; }}
@media (prefers-reduced-motion: no-preference) {{
  .dlapps-motion :checked ~ img {{ animation-play-state: paused; }}
  .dlapps-motion input:not(:checked) ~ .still, .dlapps-motion :checked ~ .moving {{ display: none; }}
}}
@media (prefers-reduced-motion: reduce) {{
  .{name} {{ animation-delay: -{rest:.3f}s; }}
  .dlapps-motion input:not(:checked) ~ img {{ animation-play-state: paused; }}
  .dlapps-motion input:not(:checked) ~ .moving, .dlapps-motion :checked ~ .still {{ display: none; }}
}}
</style>
<label class="dlapps-motion"><input type="checkbox">
<span class="moving">Pause</span><span class="still">Play</span>
<img class="{name}" src="data:image/jpeg;base64,{strip}" alt="the animation"></label>"""


def encode_frames(frames: np.ndarray, frames_per_second: int) -> tuple[bytes, list[bytes]]:
    """uint8 (F, H, W, 3) as an endless GIF whose last frame stays for two seconds, and as one JPEG a frame."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2:
        raise ValueError(
            f"expected frames uint8 (F, H, W, 3) with F >= 2, got {frames.dtype} {frames.shape}; images.from_pixels "
            "makes them of pixels in [0, 1]."
        )
    durations = [1000 // frames_per_second] * (len(frames) - 1) + [1000 * HOLD]
    gif, (first, *others) = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    first.save(gif, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return gif.getvalue(), [_jpeg(frame) for frame in frames]


def make_player(frames: np.ndarray, frames_per_second: int) -> str:
    """HTML that plays uint8 frames (F, H, W, 3); a click, or the key of space, pauses it where it is."""
    number, height, width, _ = frames.shape
    moving = (number - 1) / frames_per_second
    return PLAYER.format(
        name=f"dlapps-{width}-{height}-{number}-{frames_per_second}",
        steps=number - 1,
        share=moving / (moving + HOLD),
        width=width,
        height=height,
        rest=moving + HOLD / 2,
        total=moving + HOLD,
        strip=make_strip(frames),
    )


def make_strip(frames: np.ndarray) -> str:
    """uint8 frames (F, H, W, 3), one below the other, as one JPEG in base64; ValueError where it would be too tall."""
    number, height, width, _ = frames.shape
    if number * height > LONGEST:
        raise ValueError(f"expected F * H <= {LONGEST:,}, got {number} * {height}; leave out some frames.")
    return base64.b64encode(_jpeg(frames.reshape(-1, width, 3))).decode()


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()
