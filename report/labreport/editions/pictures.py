"""Photographs, which lossy formats make smaller."""

import io

from PIL import Image, ImageOps

# Bytes of PNG above which a figure holds photos: lossy WebP takes a fifth of them.
PHOTOGRAPHIC = 100_000
QUALITY = 90


def compress(content: bytes, kind: str, size: tuple[int, int] | None = None) -> bytes:
    """Compress a picture as JPEG or WEBP, cropped and scaled to `size`."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        fitted = ImageOps.fit(picture.convert("RGB"), size or picture.size)
    fitted.save(file, kind, quality=QUALITY)
    return file.getvalue()
