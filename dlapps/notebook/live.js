// Fills in the placeholders of the notebook around this widget; live.py says what the kernel sends.

// outline.py has the same expression, but for labels of headings.
const TOKEN =
  /\{\{[^{}]+\}\}|\{#sec-[^}]*\}|\[[^[\]]*?@(?!(?:fig|tab|sec|eq)-)[A-Za-z][^[\]]*\]|(?<![\w@\\])@[A-Za-z0-9_](?:[\w:.#$%&+?<>~/-]*\w)?/g;
// Not yet typeset: a placeholder in a formula is the kernel's to fill.
const FORMULA = /(\$\$[\s\S]+?\$\$|\$[^$]+\$|\\begin\{(\w+\*?)\}[\s\S]+?\\end\{\2\})/g;
const LABEL = /\s*\{#sec-[^}]*\}/;
const PROSE = ".jp-RenderedMarkdown";
const OTHERS = "code, pre, script, style, mjx-container, .MathJax, .dlapps-live, .dlapps-formula";

function words(part) {
  const node = document.createElement(part.href || part.cell ? "a" : "span");
  node.textContent = part.text;
  if (part.title) node.title = part.title;
  if (part.kind) node.className = `dlapps-${part.kind}`;
  if (part.href) Object.assign(node, { href: part.href, target: "_blank", rel: "noopener" });
  return node;
}

function textNodes(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  return nodes;
}

function clearLabels(root) {
  for (const node of textNodes(root)) {
    if (LABEL.test(node.data)) node.data = node.data.replace(LABEL, "");
  }
  for (const entry of root.querySelectorAll("[title*='{#sec-']")) entry.title = entry.title.replace(LABEL, "");
}

// The place of a rendered cell among all cells: those out of sight may not be on the page.
function place(cell) {
  const { windowedListIndex } = cell.dataset;
  if (windowedListIndex !== undefined) return Number(windowedListIndex);
  return [...cell.parentElement.children].filter((node) => node.matches(".jp-Cell")).indexOf(cell);
}

class Prose {
  constructor(model, host) {
    this.model = model;
    this.host = host;
    this.asked = new Set();
    // Without them (another front end) headings and equations stay without numbers.
    this.context = model.widget_manager?.context;
    this.typesetter = model.widget_manager?.rendermime?.latexTypesetter;
    this.observer = new MutationObserver((changes) => {
      if (changes.some(({ target, addedNodes }) => addedNodes.length && this.concerns(target, addedNodes))) this.fill();
    });
    this.observer.observe(host, { childList: true, subtree: true });
    // The side bar's table of contents has headings as they are written.
    const contents = document.getElementById("table-of-contents");
    this.contentsObserver = new MutationObserver(() => clearLabels(contents));
    if (contents) this.contentsObserver.observe(contents, { childList: true, subtree: true, characterData: true });
    if (contents) clearLabels(contents);
    this.fill();
  }

  stop() {
    this.observer.disconnect();
    this.contentsObserver.disconnect();
  }

  concerns(target, added) {
    if (target.closest(".dlapps-live, .dlapps-formula")) return false;
    return target.closest(PROSE) || [...added].some((node) => node.matches?.(PROSE) || node.querySelector?.(PROSE));
  }

  fill() {
    for (const root of this.host.querySelectorAll(PROSE)) {
      this.find(root);
      const cell = root.closest(".jp-MarkdownCell");
      const found = cell && this.model.get("cells")[this.identity(cell)];
      if (found) this.number(root, found);
    }
    this.show();
  }

  identity(cell) {
    const cells = this.context?.model?.cells;
    return cells && place(cell) < cells.length ? cells.get(place(cell)).id : undefined;
  }

  // Each placeholder gets a span of its own that keeps it: a new value replaces the old one.
  find(root) {
    for (const node of textNodes(root)) {
      if (!/\{\{|\{#|@/.test(node.data) || node.parentElement.closest(OTHERS)) continue;
      const parts = [];
      let position = 0;
      const formulas = [...node.data.matchAll(FORMULA)].map((it) => [it.index, it.index + it[0].length]);
      for (const found of node.data.matchAll(TOKEN)) {
        if (formulas.some(([start, end]) => start <= found.index && found.index < end)) continue;
        const span = document.createElement("span");
        span.className = "dlapps-live";
        span.dataset.token = found[0].replace(/\s+/g, " ");
        parts.push(node.data.slice(position, found.index), span);
        position = found.index + found[0].length;
      }
      if (parts.length) node.replaceWith(...parts, node.data.slice(position));
    }
  }

  show() {
    const answers = this.model.get("answers");
    const unknown = new Set();
    for (const span of this.host.querySelectorAll(".dlapps-live")) {
      const { token } = span.dataset;
      if (!(token in answers)) unknown.add(token);
      const parts = answers[token] ?? [{ text: "–", kind: "pending" }];
      const state = JSON.stringify(parts);
      if (span.dataset.state === state) continue;
      span.dataset.state = state;
      span.replaceChildren(...parts.map((part) => this.link(words(part), part)));
    }
    const ask = [...unknown].filter((token) => !this.asked.has(token));
    ask.forEach((token) => this.asked.add(token));
    if (ask.length) this.model.send({ ask });
  }

  link(node, { cell, notebook }) {
    if (!cell) return node;
    node.href = "#";
    if (notebook) {
      const folder = this.context?.path.replace(/[^/]*$/, "") ?? "";
      node.dataset.commandlinkerCommand = "docmanager:open";
      node.dataset.commandlinkerArgs = JSON.stringify({ path: folder + notebook });
    }
    node.addEventListener("click", (event) => {
      event.preventDefault();
      if (!notebook) this.scroll(cell);
    });
    return node;
  }

  // Cells out of sight may be off the page: go towards the one that is meant until it is there.
  scroll(identity, steps = 300) {
    const attached = [...this.host.querySelectorAll(".jp-Cell")].filter((cell) => cell.offsetHeight);
    const meant = attached.find((cell) => this.identity(cell) === identity);
    if (meant) return meant.scrollIntoView({ block: "nearest" });
    const ids = Array.from(this.context?.model?.cells ?? [], (cell) => cell.id);
    const panel = this.host.querySelector(".jp-WindowedPanel-outer");
    if (!panel || !steps || !ids.includes(identity)) return undefined;
    const { top, bottom } = panel.getBoundingClientRect();
    const seen = attached.find((cell) => {
      const box = cell.getBoundingClientRect();
      return box.bottom > top && box.top < bottom;
    });
    if (seen) panel.scrollTop += Math.sign(ids.indexOf(identity) - place(seen)) * panel.clientHeight;
    return setTimeout(() => this.scroll(identity, steps - 1), 30);
  }

  number(root, { headings, formulas, question }) {
    root.classList.toggle("dlapps-question", Boolean(question));
    root.dataset.question = question;
    root.querySelectorAll("h1, h2, h3").forEach((heading, index) => {
      if (headings[index] === undefined) return;
      const number = heading.querySelector(".dlapps-number") ?? document.createElement("span");
      number.className = "dlapps-number";
      if (number.textContent !== headings[index]) number.textContent = headings[index];
      if (!number.parentElement) heading.prepend(number);
    });
    const typeset = [...root.querySelectorAll("mjx-container")];
    if (!this.typesetter || typeset.length !== formulas.length) return;
    typeset.forEach((node, index) => {
      const wrapper = node.closest(".dlapps-formula");
      const formula = formulas[index];
      if (formula === null || wrapper?.dataset.formula === formula) return;
      const fresh = wrapper ?? document.createElement("span");
      fresh.className = "dlapps-formula";
      fresh.dataset.formula = formula;
      if (!wrapper) node.replaceWith(fresh);
      fresh.textContent = formula;
      this.typesetter.typeset(fresh);
    });
  }
}

function render({ model, el }) {
  el.textContent = model.get("elsewhere");
  let prose, frame;
  const refresh = () => prose?.fill();
  const start = () => {
    const host = el.closest(".jp-Notebook");
    if (host) {
      el.textContent = model.get("words");
      prose = new Prose(model, host);
    } else if (document.querySelector(".jp-Notebook")) frame = requestAnimationFrame(start);
  };
  start();
  model.on("change:answers change:cells", refresh);
  return () => {
    cancelAnimationFrame(frame);
    prose?.stop();
    model.off("change:answers change:cells", refresh);
  };
}

export default { render };
