"""The notebooks where people work in them: JupyterLab in headless Chromium, the cells
run from its menu.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from conftest import CHECKOUT, Project, code, skip_unless_fetched, text

from labreport.chapters import find_chapters
from labreport.notebook.outline import read_outline

pytestmark = pytest.mark.lab
NOTEBOOKS = sorted(path.stem for path in (CHECKOUT / "notebooks").glob("*.ipynb"))
TOKEN = "lab"
RAW = re.compile(r".{,30}(?:\{\{|\{#|\[@|@(?:fig|tab|sec|eq)-).{,30}")
# All that is written on the page, but not what is code.
READ = """() => {
  const texts = [];
  const all = document.querySelectorAll('.jp-Notebook .jp-RenderedMarkdown');
  for (const rendered of all) {
    const prose = rendered.cloneNode(true);
    prose.querySelectorAll('code, pre').forEach((node) => node.remove());
    texts.push(prose.textContent);
  }
  return texts.join('\\n');
}"""
END = "all cells ran"
DONE = f"""() => {{
  const failed = '[data-mime-type="application/vnd.jupyter.error"]';
  const printed = [...document.querySelectorAll('.jp-OutputArea-output pre')];
  return document.querySelector(failed)
    || printed.some((node) => node.textContent.includes('{END}'));
}}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project of its own with the checkout's notebooks, which run under the smoke
    profile.
    """
    folder = tmp_path_factory.mktemp("project")
    project = Project(folder)
    for name in (
        "data",
        "report/references.bib",
        "report/results.json",
        "report/profiles.toml",
        "notebooks/plots",
    ):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(CHECKOUT / name)
    for name in NOTEBOOKS:
        notebook = nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = cell.source.replace('"quick"', '"smoke"')
        notebook.cells.append(code(f"print('{END}')"))
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    path = project.write(
        "9_small",
        text(
            "## Small {#sec-small}\n\n"
            "@fig-curve, @eq-x, [@lecun1998gradient], `{{code}}`."
        ),
        code("runs = globals().get('runs', 0) + 1\nshares = {'VGG16': 0.25}"),
        text(
            'After {{runs}} runs {{shares["VGG16"]:.0%}}. <!-- holds: runs < 2 -->\n\n'
            "- a list\n\n"
            "\\begin{equation}\nx\n\\label{eq-x}\n\\end{equation}"
        ),
        code("doubled = 2 * runs"),
        text("Twice as many: {{doubled}}."),
        code(
            "from matplotlib.figure import Figure\nfigure = Figure(figsize=(2, 1))\n"
            "chapter.show_figure(figure, 'curve', f'After {runs} runs, @sec-small.')"
        ),
        code(
            "import numpy as np\n"
            "look = lambda grey: (np.full((8, 8), grey, np.uint8), 'abc'[grey])\n"
            "chapter.show_explorer(look, {'grey': [0, 1, 2]}, (0,), 'greys', 'Greys.')"
        ),
        code(f"print('{END}')"),
        text(
            '| a | b |\n| --- | --- |\n| {{shares["VGG16"]:.0%}} | @nobody1999 |\n\n'
            "The {{misspelt}}, the {{runs:.x}} and {{max(1, 2)}}."
        ),
    )
    small = nbformat.read(path, as_version=4)
    small.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(small, path)
    return folder


@pytest.fixture(scope="module")
def address(home):
    """A server of JupyterLab in that project."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
    }
    own = {name: str(folder) for name, folder in own.items()}
    environment = (
        os.environ | own | {"LABREPORT_HOME": str(home), "JUPYTER_PREFER_ENV_PATH": "1"}
    )
    environment.pop("DLAPPS_DATA", None)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
    ]
    command += ["--LabApp.news_url=", f"--IdentityProvider.token={TOKEN}"]
    command += [f"--ServerApp.root_dir={home}"]
    with (
        open(home / "server.log", "w") as log,
        subprocess.Popen(command, env=environment, stderr=log) as server,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_until_reached(f"{address}/api", server, home / "server.log")
            yield address
        finally:
            server.terminate()


@pytest.fixture
def open_notebook(address, browser):
    """Opens a notebook by its name on a page of its own."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(60_000)

    def open_(name):
        page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset&token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-RenderedMarkdown h1")
        # Nothing runs before there is a kernel.
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        return page

    yield open_
    page.close()
    # The next page begins with a new kernel.
    for kernel in json.loads(_ask(f"{address}/api/kernels")):
        _ask(f"{address}/api/kernels/{kernel['id']}", "DELETE")


def _ask(address, method="GET"):
    headers = {"Authorization": f"token {TOKEN}"}
    request = urllib.request.Request(address, method=method, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def _wait_until_reached(address, server, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            _ask(address)
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab does not answer: {log.read_text()[-2000:]}")


def _run_all(page, seconds=300):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE, timeout=1000 * seconds)
    failed = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    assert failed.count() == 0, failed.first.inner_text()
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')


def _read_through(page):
    """All text from the top to the bottom, read after each screen."""
    screens = page.evaluate(
        "() => { const o = document.querySelector('.jp-WindowedPanel-outer');"
        " return o.scrollHeight / o.clientHeight; }"
    )
    texts = []
    for screen in range(int(screens) + 2):
        page.evaluate(
            "(n) => { const o = document.querySelector('.jp-WindowedPanel-outer');"
            " o.scrollTop = n * o.clientHeight; }",
            screen,
        )
        page.wait_for_timeout(150)
        texts.append(page.evaluate(READ))
    return "\n".join(texts)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_chapter_that_ran_shows_no_placeholder(open_notebook, home, name):
    skip_unless_fetched()
    page = open_notebook(name)
    _run_all(page)
    read = _read_through(page)
    assert RAW.findall(read) == []
    assert (
        page.locator(".labreport-error, .labreport-pending").all_text_contents() == []
    )
    outline = read_outline(home / "notebooks" / f"{name}.ipynb", find_chapters()[name])
    words = [part.words for part in outline.labels.values()]
    assert [
        word for word in words if word[:3] in ("Fig", "Tab") and f"{word}:" not in read
    ] == []
    numbers = [
        number
        for cell in outline.prose
        for number in (*cell.headings, *cell.equations)
        if number
    ]
    assert sorted(page.locator(".labreport-number").all_text_contents()) == sorted(
        numbers
    )


def _run(page, cell):
    page.locator(".jp-CodeCell").nth(cell).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')


def _contains(page, words):
    page.wait_for_function(
        "words => document.querySelector('.jp-Notebook').innerText.includes(words)",
        arg=words,
    )


def test_prose_follows_the_cells(open_notebook):
    page = open_notebook("9_small")
    for cell in (0, 1):
        _run(page, cell)
    _contains(page, "Figure 9.1, Equation (9.1), (LeCun et al. 1998), {{code}}.")
    _contains(page, "After – runs –")
    _run_all(page)
    _contains(page, "After 1 runs 25%")
    _contains(page, "Figure 9.1: After 1 runs, Section 9.1.")
    assert not page.locator(".labreport-false, .labreport-grey").count()
    _run(page, 2)
    _contains(page, "After 2 runs 25%")
    # The claim, of two runs, is false now, and cells below have not seen the second
    # run.
    false = page.locator(".labreport-false")
    assert false.inner_text().startswith("After 2 runs")
    assert (
        false.get_attribute("data-verdict")
        == "In this run this does not hold: “After … runs ….”"
    )
    grey = page.locator(".labreport-grey")
    assert grey.all_text_contents() == ["2", "25%"]
    assert (
        grey.first.get_attribute("title")
        == "doubled (a cell that it builds on ran later)"
    )
    _run(page, 3)
    _contains(page, "Twice as many: 4")
    assert grey.count() == 1
    page.locator(".jp-CodeCell").nth(3).locator(".cm-content").click()
    page.keyboard.type(" + nothing")
    page.wait_for_selector(".labreport-grey[title*='was edited']")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".labreport-grey[title*='failed']")


def test_mistakes_are_red_and_values_reach_tables(open_notebook):
    page = open_notebook("9_small")
    _run_all(page)
    page.wait_for_selector(".labreport-error")
    assert page.locator(".labreport-error").all_text_contents() == [
        "9_small.ipynb, cell 12: expected a work in report/references.bib, "
        "got @nobody1999; add it or correct the key.",
        "NameError: name 'misspelt' is not defined",
        "expected a format that fits runs, got '.x' for 1; correct it.",
        "expected names, attributes and literal keys, then a format, as in "
        'scores["VGG16"].mean:.1%, got max(1, 2); '
        "compute it in the cell above.",
    ]
    colour = page.locator(".labreport-error").first.evaluate(
        "node => getComputedStyle(node).color"
    )
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    assert red > 2 * max(green, blue)
    assert page.locator("table td", has_text="25%").count() == 1


def test_what_was_filled_stays_filled_without_a_kernel(
    open_notebook, address, home, browser
):
    page = open_notebook("9_small")
    _run_all(page)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    for kernel in json.loads(_ask(f"{address}/api/kernels")):
        _ask(f"{address}/api/kernels/{kernel['id']}", "DELETE")
    exported = home / "notebooks" / "9_small.html"
    notebook = exported.with_suffix(".ipynb")
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", notebook],
        check=True, capture_output=True,
    )  # fmt: skip
    for place in (
        f"{address}/lab/tree/notebooks/9_small.ipynb?reset&token={TOKEN}",
        exported.as_uri(),
    ):
        other = browser.new_page(color_scheme="dark")
        other.goto(place)
        other.wait_for_selector(".labreport-fill")
        read = other.locator("body").inner_text()
        assert "After 1 runs 25%" in read
        assert "Error displaying widget" not in read
        assert "shares" not in re.sub(
            "shares = .*", "", read
        )  # the lines beside the numbers are hidden
        if place.startswith("file:"):
            # It takes no formula from a network, numbers them, and keeps the reader's
            # scheme.
            assert other.locator(".labreport-math math").count() == 1
            assert "(9.1)" in other.locator(".labreport-equation").all_text_contents()
            ground = other.evaluate("getComputedStyle(document.body).backgroundColor")
            assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
        other.close()


def test_the_table_of_contents_has_no_labels(open_notebook):
    page = open_notebook("9_small")
    _run_all(page)
    page.keyboard.press("Control+Shift+K")
    entry = page.locator("#table-of-contents .jp-tocItem-content", has_text="Small")
    entry.wait_for()
    assert (entry.inner_text(), entry.get_attribute("title")) == ("Small", "Small")


def test_a_reference_leads_to_its_cell(open_notebook):
    page = open_notebook("9_small")
    _run_all(page)
    page.set_viewport_size({"width": 1300, "height": 420})
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
    figure = page.locator(".jp-OutputArea .jp-RenderedMarkdown", has_text="Figure 9.1:")
    assert not figure.evaluate("node => node.getBoundingClientRect().top < innerHeight")
    page.locator(".labreport-fill a", has_text="Figure 9.1").first.click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-OutputArea .jp-RenderedMarkdown')]"
        ".some((node) => /Figure 9.1:/.test(node.textContent)"
        " && node.getBoundingClientRect().top < innerHeight)"
    )


def test_a_slider_in_an_output_chooses_picture_and_reading(open_notebook):
    page = open_notebook("9_small")
    _run_all(page)
    explorer = page.locator(".labreport-explore")
    slider = explorer.get_by_label("grey")
    slider.click(position={"x": 3, "y": 5})
    slider.press("ArrowRight")
    assert explorer.locator("p").inner_text() == "b"
    assert (
        explorer.locator("img").evaluate("picture => picture.style.objectPosition")
        == "0px 50%"
    )
