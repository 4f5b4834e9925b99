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
from conftest import CHECKOUT, SPEC, Project, code, skip_unless_fetched, text

from labreport.document import read_documents
from labreport.report import Report

pytestmark = pytest.mark.lab
NOTEBOOKS = sorted(path.stem for path in (CHECKOUT / "notebooks").glob("*.ipynb"))
BORROWED = ["data", "report/references.bib", "report/profiles.toml", "notebooks/plots"]
TOKEN = "lab"
RAW = re.compile(r".{,30}(?:\{\{|\{#|\[@|@(?:fig|tab|sec|eq)-).{,30}")
# The texts on the page above that height, but not what is code.
READ = """(height) => [...document.querySelectorAll('.jp-RenderedMarkdown')]
  .filter((rendered) => rendered.getBoundingClientRect().top < height)
  .map((rendered) => {
    const prose = rendered.cloneNode(true);
    prose.querySelectorAll('code, pre').forEach((node) => node.remove());
    return prose.textContent;
  }).join('\\n')"""
SCROLL = """(screen) => {
  const panel = document.querySelector('.jp-WindowedPanel-outer');
  panel.scrollTop = screen * panel.clientHeight;
  return panel.scrollTop + panel.clientHeight >= panel.scrollHeight - 1;
}"""
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
FAILED = '[data-mime-type="application/vnd.jupyter.error"]'
END = "all cells ran"
DONE = f"""() => document.querySelector('{FAILED}')
  || [...document.querySelectorAll('.jp-OutputArea-output pre')]
    .some((node) => node.textContent.includes('{END}'))"""
SMALL = [
    text(
        "## Small {#sec-small}\n\n{{runs}} of {{doubled}}: @fig-curve, "
        "@eq-x, [@lecun1998gradient], `{{code}}`."
    ),
    code("runs = globals().get('runs', 0) + 1\nshares = {'VGG16': 0.25}"),
    text(
        'After {{runs}} runs {{shares["VGG16"]:.0%}}. <!-- holds: runs < 2 -->\n\n'
        "$$ x \\label{eq-x} $$"
    ),
    code("doubled = 2 * runs"),
    text("| a | b |\n| --- | --- |\n| {{doubled}} | {{misspelt}} |"),
    code(
        "from matplotlib.figure import Figure\nfigure = Figure(figsize=(2, 1))\n"
        'chapter.show_figure(figure, "curve", "Twice {{runs}}, @sec-small.")'
    ),
    code(f"print('{END}')"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project of its own with the checkout's notebooks, which run under the smoke
    profile.
    """
    folder = tmp_path_factory.mktemp("project")
    project = Project(folder)
    for name in BORROWED:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(CHECKOUT / name)
    for name in NOTEBOOKS:
        notebook = nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", 4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = cell.source.replace('"quick"', '"smoke"')
        notebook.cells.append(code(f"print('{END}')"))
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    path = project.write("9_small", *SMALL)
    small = nbformat.read(path, 4)
    small.metadata["kernelspec"] = SPEC
    nbformat.write(small, path)
    return folder


@pytest.fixture(scope="module")
def ask(home):
    """Asks a server of JupyterLab in that project; `ask.address` is its."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"}
    environment["JUPYTER_CONFIG_DIR"] = str(home / "config")
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    environment.pop("DLAPPS_DATA", None)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--LabApp.news_url=", f"--ServerApp.root_dir={home}"]
    command += [f"--IdentityProvider.token={TOKEN}"]

    def ask(path, method="GET"):
        headers = {"Authorization": f"token {TOKEN}"}
        address = f"{ask.address}/{path}"
        request = urllib.request.Request(address, method=method, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    ask.address = f"http://127.0.0.1:{port}"
    log = home / "server.log"
    with (
        log.open("w") as file,
        subprocess.Popen(command, env=environment, stderr=file) as server,
    ):
        try:
            for _ in range(200):
                try:
                    ask("api")
                    break
                except OSError:
                    time.sleep(0.3)
            else:
                pytest.fail(f"JupyterLab does not answer: {log.read_text()[-2000:]}")
            yield ask
        finally:
            server.terminate()


@pytest.fixture
def open_notebook(ask, browser):
    """Opens a notebook by its name on a page of its own."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_default_timeout(60_000)

    def open_(name):
        path = f"lab/tree/notebooks/{name}.ipynb?reset&token={TOKEN}"
        page.goto(f"{ask.address}/{path}")
        page.wait_for_selector(".jp-Notebook .jp-RenderedMarkdown h1")
        # Nothing runs before there is a kernel.
        page.wait_for_selector(IDLE)
        return page

    yield open_
    page.close()
    stop_kernels(ask)


def stop_kernels(ask):
    for kernel in json.loads(ask("api/kernels")):
        ask(f"api/kernels/{kernel['id']}", "DELETE")


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE, timeout=300_000)
    failed = page.locator(FAILED)
    assert failed.count() == 0, failed.first.inner_text()
    page.wait_for_selector(IDLE)


def run_cell(page, index):
    page.locator(".jp-CodeCell").nth(index).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(IDLE)


def wait_for(page, words):
    for _ in range(100):
        shown = page.locator(".jp-Notebook").inner_text().replace("\u00a0", " ")
        if words in shown:
            break
        page.wait_for_timeout(100)
    assert words in shown


def save(page):
    page.keyboard.press("Control+s")
    page.wait_for_selector(".jp-mod-current:not(.jp-mod-dirty)")
    page.wait_for_timeout(1500)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_chapter_shows_no_placeholder_on_its_first_screen_nor_once_it_ran(
    open_notebook, ask, home, name
):
    skip_unless_fetched()
    page = open_notebook(name)
    if name != "5_evidence":  # whose code is folded
        assert not re.findall(r"@|\{\{", page.evaluate(READ, 1000))
    run_all(page)
    screen = 0
    numbers = {}  # in the order in which they come up
    while not page.evaluate(SCROLL, screen):
        screen += 1
        for _ in range(30):
            page.wait_for_timeout(100)
            raw = RAW.findall(page.evaluate(READ, 1e6))
            if not raw:
                break
        assert raw == []
        found = page.locator(".labreport-number").all_text_contents()
        numbers |= dict.fromkeys(found)
    assert page.locator(".labreport-pending").all_text_contents() == []
    assert page.locator(".labreport-works").count() == 1
    report = Report(home)
    for document in read_documents(report.sources(), report.bibliography)[0]:
        if document.source.name == name:
            assert list(numbers) == [each.number for each in document.headings]
    save(page)
    # The dialog "Save and Export As HTML" as it opens.
    path = f"nbconvert/html/notebooks/{name}.ipynb?download=true&sanitize_html=true"
    exported = ask(path)
    prose = re.sub(r"(?s)<(pre|code|script|style)\b.*?</\1>", "", exported)
    assert "&lt;p&gt;" not in exported
    assert RAW.findall(prose) == []
    assert "Bibliography" in prose


def test_prose_follows_the_cells(open_notebook):
    page = open_notebook("9_small")
    grey = page.locator(".labreport-grey")
    for cell in (0, 1):
        run_cell(page, cell)
    wait_for(page, "– of –: Figure 5.1, Equation (5.1), (LeCun et al. 1998), {{code}}.")
    run_cell(page, 2)
    wait_for(page, "1 of –: Figure 5.1")
    wait_for(page, "After 1 runs 25%.")
    for cell in (3, 4):
        run_cell(page, cell)
    wait_for(page, "1 of 2: Figure 5.1")
    wait_for(page, "Figure 5.1: Twice 1, Section 5.1.")
    pending = page.locator("td .labreport-pending")
    assert "name 'misspelt' is not defined" in pending.get_attribute("title")
    assert page.locator(".labreport-false").count() + grey.count() == 0
    # The claim is false after two runs, and cells below have not seen the second run.
    run_cell(page, 2)
    wait_for(page, "After 2 runs 25%.")
    false = page.locator(".jp-OutputArea p.labreport-false")
    assert false.inner_text().endswith("this does not hold: “After 2 runs 25%.”")
    assert grey.all_text_contents() == ["2", "2", "1"]
    assert grey.first.get_attribute("title") == "doubled a cell above ran later"
    run_cell(page, 3)
    wait_for(page, "2 of 4: Figure 5.1")
    assert grey.all_text_contents() == ["1"]
    page.locator(".jp-CodeCell").nth(3).locator(".cm-content").click()
    page.keyboard.type(" + 1")
    page.wait_for_selector(".labreport-grey[title*='was edited']")


def test_what_was_filled_stays_filled_without_a_kernel(open_notebook, ask):
    page = open_notebook("9_small")
    run_all(page)
    save(page)
    stop_kernels(ask)
    page.reload()
    page.wait_for_selector(".labreport-fill")
    wait_for(page, "After 1 runs 25%.")
    wait_for(page, "1 of 2: Figure 5.1")
    # The lines beside the numbers are hidden.
    assert "runs = 1" not in page.locator(".jp-Notebook").inner_text()


def test_a_reference_leads_to_its_cell(open_notebook):
    page = open_notebook("9_small")
    run_all(page)
    page.set_viewport_size({"width": 1300, "height": 420})
    page.evaluate(SCROLL, 0)
    figure = page.locator(".jp-OutputArea strong", has_text="Figure 5.1:")
    page.locator(".labreport-reference", has_text="Figure 5.1").first.click()
    page.wait_for_function(
        "node => node.getBoundingClientRect().top < innerHeight",
        arg=figure.element_handle(),
    )
