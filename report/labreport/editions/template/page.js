// Marks in the contents of a chapter the section that is being read; without it only the mark is missing.
const links = [...document.querySelectorAll("nav.contents a[href^='#']")];
const headings = links.map(link => document.getElementById(link.hash.slice(1)));
const mark = () => {
  const passed = headings.findLastIndex(heading => heading.getBoundingClientRect().top < innerHeight / 3);
  const current = innerHeight + scrollY > document.body.scrollHeight - 2 ? links.length - 1 : passed;
  links.forEach((link, index) => { link.ariaCurrent = index === current ? "location" : null; });
};
addEventListener("scroll", mark, { passive: true });
mark();

// Where a formula is wider than the page, keys scroll it.
const reach = () => {
  for (const formula of document.querySelectorAll("math")) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
};
addEventListener("resize", reach);
reach();
