"""Frames as HTML that plays them and can be paused, and as HTML whose sliders choose
one.
"""

import base64
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FRAMES_PER_SECOND = 8
HOLD = 2  # seconds that the last frame stays
LONGEST = 65_500  # rows that a JPEG may have

# player.html needs no script: all frames are one tall picture behind a window, and a
# checkbox says if it moves. Who asks for reduced motion begins with the last frame, at
# rest. explorer.html needs no kernel and no server: all pictures are one tall strip
# behind a window, and the words are at hand. By the attribute that begins with data-lm
# JupyterLab, which has commands for the arrow keys, leaves them to the sliders.
PLAYER, EXPLORER, SCRIPT = (
    Path(__file__).with_name(name).read_text(encoding="utf-8").strip()
    for name in ("player.html", "explorer.html", "explorer.js")
)
SLIDER = """<label>{name} <input type="range" data-lm-suppress-shortcuts="true" max="{last}" value="{start}"
aria-valuetext="{value}"> <output>{value}</output></label>"""


def hash_script(script: str) -> str:
    """What a page's Content-Security-Policy calls a script that it allows."""
    return (
        "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    )


def make_player(frames: np.ndarray) -> str:
    """HTML that plays uint8 frames (F, H, W) or (F, H, W, 3), F >= 2; a click pauses
    it. ValueError for others.
    """
    fits = frames.ndim > 2 and frames.shape[3:] in ((), (3,)) and len(frames) > 1
    if frames.dtype != np.uint8 or not fits:
        wanted, remedy = (
            "frames uint8 (F, H, W) or (F, H, W, 3) with F >= 2",
            "images.from_pixels makes them of pixels",
        )
        raise ValueError(
            f"expected {wanted}, got {frames.dtype} {frames.shape}; {remedy}."
        )
    number, height, width = frames.shape[:3]
    moving = (number - 1) / FRAMES_PER_SECOND
    return PLAYER.format(
        name=f"labreport-{width}-{height}-{number}",
        steps=number - 1,
        share=moving / (moving + HOLD),
        width=width,
        height=height,
        rest=moving + HOLD / 2,
        total=moving + HOLD,
        strip=make_strip(frames),
    )


def make_strip(frames: np.ndarray) -> str:
    """uint8 frames, one below the other, as one JPEG in base64; ValueError where it
    would be too tall.
    """
    number, height = frames.shape[:2]
    if number * height > LONGEST:
        raise ValueError(
            f"expected F * H <= {LONGEST:,}, got {number} * {height}; leave out frames."
        )
    file = io.BytesIO()
    Image.fromarray(frames.reshape(-1, *frames.shape[2:])).save(
        file, "JPEG", quality=80
    )
    return base64.b64encode(file.getvalue()).decode()


# A value of each axis -> picture uint8 (H, W) or (H, W, 3), and its reading in words.
Render = Callable[..., tuple[np.ndarray, str]]
Axes = Mapping[str, Sequence[object]]  # the values of each slider


def make_frames(render: Render, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 (*S, H, W, 3) and readings (*S) of every combination of values of
    the axes, S their lengths.

    Raises ValueError for pictures of different sizes, and without any.
    """
    seen = [render(*values) for values in itertools.product(*axes.values())]
    sizes = {picture.shape[:2] for picture, _ in seen}
    if len(sizes) != 1:
        raise ValueError(
            f"expected pictures of one size, got {sorted(sizes)}; bring them to one size."
        )
    pictures = [
        np.broadcast_to(np.atleast_3d(image), (*image.shape[:2], 3))
        for image, _ in seen
    ]
    frames, lengths = np.stack(pictures), tuple(map(len, axes.values()))
    readings = np.array([reading for _, reading in seen], dtype=object)
    return frames.reshape(*lengths, *frames.shape[1:]), readings.reshape(lengths)


def make_explorer(
    frames: np.ndarray, axes: Axes, readings: Any, start: Sequence[int]
) -> str:
    """HTML that shows one of many pictures, with its reading below: one slider an axis,
    by mouse or keyboard.

    frames and readings: as `make_frames` gives them of the axes {name: values}. start:
    the place on each axis at first. Raises ValueError where it lies outside.
    """
    lengths = tuple(map(len, axes.values()))
    try:
        row = int(np.ravel_multi_index(tuple(start), lengths))
    except ValueError as error:
        wanted = f"a start on axes of lengths {lengths}"
        raise ValueError(
            f"expected {wanted}, got {tuple(start)}; count from 0."
        ) from error
    height, width = frames.shape[-3:-1]
    values = [[str(value) for value in axis] for axis in axes.values()]
    facts = {"values": values, "readings": readings.ravel().tolist()}
    named = zip(axes, values, start, strict=True)
    return EXPLORER.format(
        facts=escape(json.dumps(facts, ensure_ascii=False)),
        script=escape(SCRIPT),
        strip=make_strip(frames.reshape(-1, height, width, 3)),
        place=f"object-position: 0 {100 * row / max(readings.size - 1, 1):.4f}%",
        sliders="\n".join(
            SLIDER.format(
                name=escape(name), last=len(axis) - 1, start=at, value=escape(axis[at])
            )
            for name, axis, at in named
        ),
        reading=escape(facts["readings"][row]),
        width=width,
        height=height,
    )
