(chapter) => {
  // Fills in the page of the notebook around this script; live.py says what the kernel sends with each cell's output.
  const script = document.currentScript;
  const OTHERS = "code, pre, script, style, mjx-container, .MathJax, .labreport-fill";
  const LABEL = /\s*\{#sec-[^}]*\}/;
  const quote = (text) => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&").replace(/ /g, "\\s+");
  // A longer piece comes first: @fig-one-b is not @fig-one.
  const tokens = Object.keys(chapter.answers).sort((one, other) => other.length - one.length);
  const PIECE = new RegExp(["\\{\\{[^{}]+\\}\\}", ...tokens.map(quote)].join("|"), "g");

  function textNodes(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    return nodes;
  }

  // Replace each piece by an element, which keeps the piece, so that a new value can replace the old one.
  function mark(root) {
    for (const node of textNodes(root)) {
      if (LABEL.test(node.data)) node.data = node.data.replace(LABEL, "");
      if (node.parentElement.closest(OTHERS)) continue;
      const parts = [];
      let position = 0;
      for (const match of node.data.matchAll(PIECE)) {
        const span = document.createElement("span");
        span.className = "labreport-fill";
        span.dataset.token = match[0].replace(/\s+/g, " ");
        parts.push(node.data.slice(position, match.index), span);
        position = match.index + match[0].length;
      }
      if (parts.length) node.replaceWith(...parts, node.data.slice(position));
    }
  }

  // What a cell of code gave to the prose, and when it ran.
  function readCell(cell) {
    const output = cell.querySelector(".labreport-values");
    // A cell whose code is folded has no prompt.
    const ran = output?.dataset.run ?? cell.querySelector(".jp-InputPrompt")?.textContent.match(/\d+/)?.[0];
    return {
      values: output ? JSON.parse(output.dataset.values) : {},
      ran: Number(ran ?? 0),
      edited: cell.classList.contains("jp-mod-dirty"),
    };
  }

  // What is shown for a piece. above: the number of the last cell of code above it; a later one may give the value.
  function answer(token, cells, above) {
    if (token in chapter.answers) return { text: chapter.answers[token], kind: "reference" };
    const inner = token.slice(2, -2).trim();
    let reason = "not yet run";
    for (let index = above; index < cells.length; index += 1) {
      const value = cells[index].values[inner];
      if (value?.error) reason = value.error;
      if (!value || value.error) continue;
      const later = cells.slice(0, index).some((cell) => cell.ran > cells[index].ran);
      const title = cells[index].edited ? "its cell was edited" : later ? "a cell above ran later" : "";
      return { text: value.text, title: `${inner} ${title}`, kind: title ? "grey" : "value" };
    }
    return { text: "–", title: `${inner}: ${reason}`, kind: "pending" };
  }

  function show(span, part, host) {
    if (span.dataset.state === part.text + part.title) return;
    span.dataset.state = part.text + part.title;
    const node = document.createElement(part.kind === "reference" ? "a" : "span");
    Object.assign(node, { textContent: part.text, title: part.title ?? "", className: `labreport-${part.kind}` });
    node.addEventListener("click", () => {
      const plain = (text) => text.replace(/[\s\u00a0]+/g, " ").replace(/^Section |:$/g, "");
      const named = [...host.querySelectorAll(".labreport-number, .jp-OutputArea strong")];
      const target = named.find((other) => plain(other.textContent) === plain(part.text));
      target?.scrollIntoView({ block: "center" });
    });
    span.replaceChildren(node);
  }

  function number(root, counts) {
    for (const heading of root.querySelectorAll("h1, h2, h3")) {
      const title = [...heading.childNodes].filter((node) => node.className !== "labreport-number");
      const words = title.map((node) => node.textContent).join("").replace(/[^\p{L}\p{N}]+/gu, " ").trim();
      const index = (counts[words] = (counts[words] ?? -1) + 1);
      const found = chapter.headings[words]?.[index];
      if (!found || heading.querySelector(".labreport-number")) continue;
      const span = document.createElement("span");
      Object.assign(span, { className: "labreport-number", textContent: found });
      heading.prepend(span);
    }
  }

  function fill(host) {
    const cells = [{ values: {}, ran: 0 }];
    const places = [];
    const counts = {};
    for (const cell of host.querySelectorAll(".jp-Cell")) {
      if (cell.classList.contains("jp-CodeCell")) cells.push(readCell(cell));
      for (const root of cell.querySelectorAll(".jp-RenderedMarkdown")) {
        mark(root);
        if (cell.classList.contains("jp-MarkdownCell")) number(root, counts);
        for (const span of root.querySelectorAll(".labreport-fill")) places.push([span, cells.length - 1]);
      }
    }
    for (const [span, above] of places) show(span, answer(span.dataset.token, cells, above), host);
    const last = [...host.querySelectorAll(".jp-MarkdownCell .jp-RenderedMarkdown")].pop();
    if (!chapter.works || last?.querySelector(".labreport-works")) return;
    host.querySelector(".labreport-works")?.remove();
    last?.insertAdjacentHTML("beforeend", `<section class="labreport-works"><h4>Works</h4>${chapter.works}</section>`);
  }

  function start(tries) {
    const host = script.closest(".jp-Notebook");
    if (!host) return tries && setTimeout(start, 200, tries - 1);
    host.labreport?.disconnect();
    host.classList.add("labreport-live");
    let waiting = 0;
    // What filling in changes is not news.
    const run = () => ((waiting = 0), fill(host), observer.takeRecords());
    const observer = new MutationObserver(() => (waiting ||= requestAnimationFrame(run)));
    observer.observe(host, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
    host.labreport = observer;
    return run();
  }
  start(50);
}
