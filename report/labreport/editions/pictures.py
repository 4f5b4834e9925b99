"""Pictures that prose names, embedded in it; photographs, which lossy formats make
smaller.
"""

import base64
import io
from typing import Any
from urllib.parse import unquote

from PIL import Image, ImageOps

from labreport import expected, paths
from labreport.notebook.syntax import Tree, nodes

# Bytes of PNG above which a figure holds photos: lossy WebP takes a fifth of them.
PHOTOGRAPHIC = 100_000
QUALITY = 90


def compress(content: bytes, kind: str, size: tuple[int, int] | None = None) -> bytes:
    """Compress a picture as JPEG or WEBP, cropped and scaled to `size`.

    What is transparent becomes white, as the page is.
    """
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        drawn = picture.convert("RGBA")
    opaque = Image.new("RGB", drawn.size, "white")
    opaque.paste(drawn, mask=drawn)
    fitted = ImageOps.fit(opaque, size or opaque.size)
    fitted.save(file, kind, quality=QUALITY)
    return file.getvalue()


def embed_pictures(tree: Tree, attachments: dict[str, Any]) -> None:
    """Replace the target of each picture by a data: URL, in place.

    attachments: those of the cell. Raises LabreportError for a target that is neither
    attached to it nor a PNG or JPEG of the report.
    """
    for node in nodes(tree):
        if node["t"] != "Image":
            continue
        target = node["c"][2]
        try:
            encoded = _read_picture(unquote(target[0]), attachments)
            content = io.BytesIO(base64.b64decode(encoded))
            with Image.open(content, formats=("PNG", "JPEG")) as picture:
                kind = str(picture.format).lower()
        except (OSError, ValueError) as error:
            wanted = "a PNG or JPEG of the report, named from the notebook's folder, "
            wanted += "or one attached to the cell"
            raise expected(wanted, target[0][:60], "save it there") from error
        target[0] = f"data:image/{kind};base64,{encoded}"


def _read_picture(name: str, attachments: dict[str, Any]) -> str:
    """Read a picture in base64, from the cell's attachments or from a file of the
    report.
    """
    attached = attachments.get(name.removeprefix("attachment:"))
    if attached:
        return "".join(attached.values())
    path = (paths.notebooks() / name).resolve()
    if not path.is_relative_to(paths.project().resolve()):
        raise FileNotFoundError(path)
    return base64.b64encode(path.read_bytes()).decode()
