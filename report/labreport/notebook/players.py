"""Write frames as HTML that plays them, or whose sliders choose one."""

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

from labreport import expected

FRAMES_PER_SECOND = 8
HOLD = 2  # seconds that the last frame stays
LONGEST = 65_500  # rows that a JPEG may have

# player.html needs no script: all frames are one tall picture behind a window, and a
# checkbox says if it moves. Who asks for reduced motion begins with the last frame, at
# rest. explorer.html needs no kernel and no server: all pictures are one tall strip
# behind a window, and the words are at hand. By the attribute that begins with data-lm
# JupyterLab, which has commands for the arrow keys, leaves them to the sliders.
_FOLDER = Path(__file__).parent
PLAYER = (_FOLDER / "player.html").read_text(encoding="utf-8").strip()
EXPLORER = (_FOLDER / "explorer.html").read_text(encoding="utf-8").strip()
SCRIPT = (_FOLDER / "explorer.js").read_text(encoding="utf-8").strip()
SLIDER = (
    '<label>{name} <input type="range" data-lm-suppress-shortcuts="true" '
    'max="{last}" value="{start}"\n'
    'aria-valuetext="{value}"> <output>{value}</output></label>'
)


def hash_script(script: str) -> str:
    """The name of a script in a page's Content-Security-Policy that allows it."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def make_player(frames: np.ndarray) -> str:
    """Write HTML that plays uint8 frames (F, H, W) or (F, H, W, 3), F >= 2.

    A click pauses it. Raises LabreportError for other frames.
    """
    fits = frames.ndim > 2 and frames.shape[3:] in ((), (3,)) and len(frames) > 1
    if frames.dtype != np.uint8 or not fits:
        raise expected(
            "frames uint8 (F, H, W) or (F, H, W, 3) with F >= 2",
            f"{frames.dtype} {frames.shape}",
            "scale them to 0 to 255 and call astype(np.uint8)",
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
    """Write uint8 frames, one below the other, as one JPEG in base64.

    Raises LabreportError for other frames, and where it would be too tall.
    """
    if frames.dtype != np.uint8:
        raise expected(
            "pictures uint8",
            frames.dtype,
            "scale to 0 to 255 and call astype(np.uint8)",
        )
    number, height = frames.shape[:2]
    if number * height > LONGEST:
        raise expected(
            f"F * H <= {LONGEST:,}", f"{number} * {height}", "leave out frames"
        )
    strip = frames.reshape(number * height, *frames.shape[2:])
    file = io.BytesIO()
    Image.fromarray(strip).save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


# A value of each axis -> picture uint8 (H, W) or (H, W, 3), and its reading in words.
Render = Callable[..., tuple[np.ndarray, str]]
Axes = Mapping[str, Sequence[object]]  # the values of each slider


def make_frames(render: Render, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Render a picture and its reading for every combination of the axes' values.

    Returns frames uint8 (*S, H, W, 3) and readings (*S), where S are the axes' lengths.
    Raises LabreportError for pictures of different sizes, and for none.
    """
    pictures: list[np.ndarray] = []
    readings: list[str] = []
    for values in itertools.product(*axes.values()):
        picture, reading = render(*values)
        pictures.append(np.atleast_3d(picture))
        readings.append(reading)
    sizes = {picture.shape[:2] for picture in pictures}
    if len(sizes) != 1:
        raise expected("pictures of one size", sorted(sizes), "bring them to one size")
    height, width = sizes.pop()
    frames = np.stack([np.broadcast_to(p, (height, width, 3)) for p in pictures])
    lengths = _lengths(axes)
    texts = np.array(readings, dtype=object).reshape(lengths)
    return frames.reshape(*lengths, height, width, 3), texts


def _lengths(axes: Axes) -> tuple[int, ...]:
    return tuple(len(values) for values in axes.values())


def make_explorer(
    frames: np.ndarray, axes: Axes, readings: Any, start: Sequence[int]
) -> str:
    """Write HTML that shows one of many pictures, with its reading below.

    One slider an axis chooses it, by mouse or keyboard. frames and readings: as
    `make_frames` returns them. axes: {name: values}. start: the place on each axis at
    first. Raises LabreportError where it lies outside.
    """
    lengths = _lengths(axes)
    try:
        row = int(np.ravel_multi_index(tuple(start), lengths))
    except ValueError as error:
        raise expected(
            f"a start on axes of lengths {lengths}", tuple(start), "count from 0"
        ) from error
    height, width = frames.shape[-3:-1]
    texts = readings.ravel().tolist()
    values: list[list[str]] = []
    sliders: list[str] = []
    for (name, axis), place in zip(axes.items(), start, strict=True):
        values.append([str(value) for value in axis])
        sliders.append(
            SLIDER.format(
                name=escape(name),
                last=len(axis) - 1,
                start=place,
                value=escape(values[-1][place]),
            )
        )
    facts = {"values": values, "readings": texts}
    return EXPLORER.format(
        facts=escape(json.dumps(facts, ensure_ascii=False)),
        script=escape(SCRIPT),
        strip=make_strip(frames.reshape(-1, height, width, 3)),
        place=f"object-position: 0 {100 * row / max(readings.size - 1, 1):.4f}%",
        sliders="\n".join(sliders),
        reading=escape(texts[row]),
        width=width,
        height=height,
    )
