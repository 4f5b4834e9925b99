"""Choose fonts for characters that pdfTeX lacks."""

import re
import subprocess
import unicodedata
from pathlib import Path

import matplotlib as mpl
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font

from labreport import LabreportError, paths
from labreport.editions import TEMPLATES
from labreport.editions.contents import Contents
from labreport.editions.outputs import outputs


def choose_fonts(latex: str, unknown: str, contents: Contents) -> str:
    """Write TeX that gives LuaLaTeX fonts for all characters of the document.

    These are DejaVu, which Matplotlib contains, and behind it fonts of the machine.
    unknown: a character that pdfTeX lacks. Raises LabreportError, which names the cell,
    for a character that no font here can print.
    """
    program = subprocess.run(["kpsewhich", "luaotfload.sty"], capture_output=True)
    if not program.stdout:
        raise _not_printable(unknown, "no LuaLaTeX", "texlive-luatex", contents)
    folder = Path(mpl.get_data_path(), "fonts", "ttf").as_posix()
    dejavu = [f"{folder}/DejaVuSerif.ttf", f"{folder}/DejaVuSans.ttf"]
    missing = _characters_of_text(latex)
    fonts: list[str] = []
    for path in dejavu + sorted(findSystemFonts()):
        if not missing:
            break
        printed = missing & _characters_of_font(path)
        if printed:
            missing -= printed
            fonts.append(f'"[{path}]:mode=harf;"')
    if missing:
        got = "no font that has it, from left to right"
        packages = "fonts-noto-core fonts-noto-cjk fonts-noto-color-emoji"
        raise _not_printable(min(missing), got, packages, contents)
    template = (TEMPLATES / "fonts.tex").read_text(encoding="utf-8")
    return template.replace("FOLDER", f"{folder}/").replace("OTHERS", ", ".join(fonts))


def _not_printable(
    sign: str, got: str, packages: str, contents: Contents
) -> LabreportError:
    """Return the error for a character that cannot be printed; it names the cell."""
    where = _find(sign, contents)
    wanted = f"what prints {sign} (U+{ord(sign):04X}) in a PDF"
    install = f"install it (Debian: apt-get install {packages})"
    return LabreportError(
        f"{where}: expected {wanted}, got {got}; {install}, or write another sign."
    )


def _characters_of_text(latex: str) -> set[str]:
    """Return the characters beyond ASCII of the document and its bibliography, without
    those that the document defines.
    """
    bibliography = paths.report() / "references.bib"
    text = latex
    if bibliography.exists():
        text += bibliography.read_text(encoding="utf-8")
    defined = re.findall(r"\\newunicodechar\{(.)", text)
    return set(re.findall(r"[^\x00-\x7f]", text)) - set(defined)


def _characters_of_font(path: str) -> set[str]:
    """Return a font's characters, of scripts that are written from left to right."""
    try:
        codes = FT2Font(path).get_charmap()
    except (RuntimeError, OSError):  # no font that Matplotlib can read
        return set()
    characters = set(map(chr, codes))
    return {c for c in characters if unicodedata.bidirectional(c) not in ("R", "AL")}


def _find(sign: str, contents: Contents) -> str:
    """Return the first cell that contains a sign."""
    for chapter in contents.chapters:
        for position, cell in enumerate(chapter.notebook.cells, start=1):
            # The script in the first cell's output has the letters of all cells.
            scripts = [output for output, _ in outputs(cell, "chapter")]
            shown = [part for part in cell.get("outputs", []) if part not in scripts]
            if sign in cell.source or sign in str(shown):
                return f"{chapter.name}, cell {position}"
    return "report.toml or references.bib"
