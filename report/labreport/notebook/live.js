(chapter) => {
  // Fills in the page of the notebook around this script; live.py says what the kernel sends with each cell's output.
  const script = document.currentScript;
  const PROSE = ".jp-RenderedMarkdown";
  const OTHERS =
    "code, pre, script, style, mjx-container, .MathJax, .labreport-math, .labreport-fill, .labreport-number";
  // A page that was saved, by nbconvert: nothing else sets formulas there where no network is.
  const saved = document.body.classList.contains("jp-Notebook");
  const LABEL = /\s*\{#sec-[^}]*\}/;
  const AGAIN = "save the notebook and run the cell above again";

  // The texts that stand for something else, as live.py found them: nothing is parsed here.
  // A longer one comes first: @fig-one-b is not @fig-one.
  function findPieces(placeholders) {
    const quote = (text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&").replace(/ /g, "\\s+");
    const texts = [...Object.keys(chapter.formulas), ...Object.keys(chapter.answers)];
    texts.sort((one, other) => other.length - one.length);
    const pieces = texts.map(quote);
    for (const inner of placeholders) pieces.push(`\\{\\{\\s*${quote(inner)}\\s*\\}\\}`);
    return new RegExp(pieces.join("|") || "(?!)", "g");
  }

  function textNodes(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    return nodes;
  }

  function clearLabels(root) {
    for (const node of textNodes(root)) if (LABEL.test(node.data)) node.data = node.data.replace(LABEL, "");
    for (const entry of root.querySelectorAll("[title*='{#sec-']")) entry.title = entry.title.replace(LABEL, "");
  }

  // The first letters of a cell's prose; the kernel sends the same letters for it.
  function sign(root, pieces) {
    const prose = root.cloneNode(true);
    prose.querySelectorAll(OTHERS).forEach((node) => node.remove());
    const text = prose.textContent.replace(pieces, "").replace(/\{#sec-[^}]*\}/g, "");
    const letters = text.toLowerCase().replace(/[^\p{L}]/gu, "");
    return [...letters].slice(0, 60).join("");
  }

  // Replace each piece by an element, which keeps the piece, so that a new value can replace the old one.
  function mark(root, pieces) {
    for (const node of textNodes(root)) {
      if (node.parentElement.closest(OTHERS)) continue;
      const parts = [];
      let position = 0;
      for (const match of node.data.matchAll(pieces)) {
        const token = match[0].replace(/\s+/g, " ");
        const isFormula = token in chapter.formulas;
        if (isFormula && !(saved && chapter.formulas[token])) continue;
        const span = document.createElement("span");
        span.className = isFormula ? "labreport-math" : "labreport-fill";
        if (isFormula) span.innerHTML = chapter.formulas[token];
        else span.dataset.token = token;
        parts.push(node.data.slice(position, match.index), span);
        position = match.index + match[0].length;
      }
      if (parts.length) node.replaceWith(...parts, node.data.slice(position));
    }
  }

  // What is shown for a piece. facts: what the cell of code above says.
  function answer(token, facts) {
    if (token in chapter.answers) return chapter.answers[token];
    const inner = token.slice(2, -2).trim();
    const value = facts?.values[inner];
    if (!value) return { text: "–", kind: "pending", title: `${inner}: ${facts ? AGAIN : "not yet run"}` };
    if (value.error) return { text: value.error, kind: "error", title: inner };
    const reason = facts.grey ? ` (${facts.grey})` : "";
    const beside = value.beside ? `: ${value.beside}` : "";
    return { text: value.text, title: inner + reason + beside, kind: facts.grey ? "grey" : "value" };
  }

  function element(part, host) {
    const node = document.createElement(part.href || part.kind === "reference" ? "a" : "span");
    node.textContent = part.text;
    if (part.title) node.title = part.title;
    if (part.kind) node.className = `labreport-${part.kind}`;
    if (part.href) Object.assign(node, { href: part.href, target: "_blank", rel: "noopener" });
    if (part.kind === "reference") {
      node.href = "#";
      node.addEventListener("click", (event) => {
        event.preventDefault();
        const named = [...host.querySelectorAll(".labreport-number, .jp-OutputArea strong")];
        const plain = (text) => text.replace(/^(Section|Chapter|Appendix|Equation) |:/g, "");
        named.find((other) => plain(other.textContent) === plain(part.text))?.scrollIntoView({ block: "center" });
      });
    }
    return node;
  }

  function number(root, parts) {
    root.classList.toggle("labreport-question", Boolean(parts.question));
    root.dataset.question = parts.question;
    root.querySelectorAll("h1, h2, h3").forEach((heading, index) => put(heading, parts.headings[index], "prepend", ""));
    const formulas = [...root.querySelectorAll("mjx-container, .labreport-math")];
    if (formulas.length !== parts.equations.length) return;
    formulas.forEach((node, index) => put(node, parts.equations[index], "before", " labreport-equation"));
  }

  function put(node, text, how, more) {
    const there = how === "before" ? node.previousElementSibling : node.firstElementChild;
    if (!text || there?.classList.contains("labreport-number")) return;
    const span = document.createElement("span");
    span.className = `labreport-number${more}`;
    span.textContent = text;
    node[how](span);
  }

  function readFacts(output) {
    return JSON.parse(output.dataset.facts);
  }

  // What a cell of code says of the prose below it; grey: why that may be outdated.
  function readCell(cell, latest) {
    const output = cell.querySelector(".labreport-values");
    if (!output) return null;
    const facts = readFacts(output);
    const [session, run] = facts.run;
    if (facts.failed) facts.grey = "its cell failed";
    if (session === latest.run[0] && latest.outdated.includes(run)) facts.grey = "a cell that it builds on ran later";
    if (cell.classList.contains("jp-mod-dirty")) facts.grey = "its cell was edited";
    return facts;
  }

  // What the kernel found in a cell. Of cells that begin alike the next one: a question may be asked twice.
  function makeFinder() {
    const used = {};
    return (letters) => {
      const alike = chapter.cells.filter((cell) => cell.sign === letters);
      const index = used[letters] ?? 0;
      used[letters] = index + 1;
      return alike[Math.min(index, alike.length - 1)];
    };
  }

  function fillPieces(root, facts, host) {
    for (const span of root.querySelectorAll(".labreport-fill")) {
      const part = answer(span.dataset.token, facts);
      const state = JSON.stringify(part);
      if (span.dataset.state === state) continue;
      span.dataset.state = state;
      span.replaceChildren(element(part, host));
    }
  }

  function markClaims(root, claims) {
    const blocks = [...root.children].filter((node) => !node.matches("style, script"));
    blocks.forEach((block, index) => markBlock(block, claims.filter((claim) => claim.block === index && !claim.holds)));
  }

  function markBlock(block, failing) {
    block.classList.toggle("labreport-false", failing.length > 0);
    if (failing.length) {
      block.title = failing.map((claim) => claim.claim).join("; ");
      block.dataset.verdict = failing.map((claim) => claim.verdict).join("\n");
    } else if (block.dataset.verdict) {
      block.removeAttribute("title");
      delete block.dataset.verdict;
    }
  }

  function fill(host) {
    const outputs = [...host.querySelectorAll(".labreport-values")].map(readFacts);
    outputs.sort((one, other) => other.run[0] - one.run[0] || other.run[1] - one.run[1]);
    const latest = outputs[0] ?? { run: [0, 0], outdated: [] };
    const pieces = findPieces([...chapter.placeholders, ...outputs.flatMap((facts) => Object.keys(facts.values))]);
    const find = makeFinder();
    let facts = null;
    for (const cell of host.querySelectorAll(".jp-Cell")) {
      if (cell.classList.contains("jp-CodeCell")) facts = readCell(cell, latest);
      if (!cell.classList.contains("jp-MarkdownCell")) continue;
      for (const root of cell.querySelectorAll(PROSE)) {
        const letters = sign(root, pieces);
        const parts = find(letters);
        mark(root, pieces);
        clearLabels(root);
        if (parts) number(root, parts);
        fillPieces(root, facts, host);
        markClaims(root, (facts?.claims ?? []).filter((claim) => claim.sign === letters));
      }
    }
  }

  function start(tries) {
    const host = script.closest(".jp-Notebook");
    if (!host) return tries && setTimeout(start, 200, tries - 1);
    host.labreport?.disconnect();
    host.classList.add("labreport-live");
    const words = script.parentElement.querySelector(".labreport-words");
    if (words) words.textContent = chapter.words;
    let waiting = 0;
    const soon = () => (waiting ||= requestAnimationFrame(() => ((waiting = 0), fill(host), watch())));
    // What filling in changes is not news.
    const watch = () => observer.takeRecords();
    const observer = new MutationObserver((changes) => {
      const news = ({ target, type }) => type === "childList" || target.classList.contains("jp-CodeCell");
      if (changes.some((change) => news(change) && !change.target.closest(".labreport-fill"))) soon();
    });
    observer.observe(host, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
    host.labreport = observer;
    // The side bar's table of contents has headings as they are written.
    const contents = document.getElementById("table-of-contents");
    if (contents) {
      clearLabels(contents);
      new MutationObserver(() => clearLabels(contents)).observe(contents, { childList: true, subtree: true, characterData: true });
    }
    fill(host);
    watch();
    return undefined;
  }
  start(50);
}
