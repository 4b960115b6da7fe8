// Uses a report as a reader would, in the page itself, and tells the page around it what came of that. Orders and colours are judged by
// what the page shows, not by what its own script says.
{
  const verdict = { width: 0, heads: 0, folds: 0, faults: [] };
  const fault = (text) => verdict.faults.push(text);
  addEventListener("error", (event) => fault(`error: ${event.message}`));
  addEventListener("unhandledrejection", (event) => fault(`error: ${event.reason}`));
  console.error = (...words) => fault(`console: ${words.join(" ")}`);

  const fits = (when) => {
    const wide = document.documentElement.scrollWidth;
    if (wide > innerWidth) fault(`${when}, the page is ${wide} px wide`);
  };

  // The first numbers of a table stand beside its names without anybody moving it.
  const inSight = (table) => {
    const head = document.querySelector(`${table} thead th:nth-child(2)`);
    const cell = document.querySelector(`${table} tbody td:nth-child(2)`);
    if (!head || !cell) fault(`there is no ${table}`);
    else if (Math.max(...[head, cell].map((one) => one.getBoundingClientRect().right)) > innerWidth) fault(`${table}: the first numbers are out of sight`);
  };

  const unfold = () => {
    for (const fold of document.querySelectorAll("details")) {
      const head = fold.querySelector("summary");
      verdict.folds += 1;
      if (fold.open) fault(`not folded: ${head.textContent}`);
      head.focus();
      if (document.activeElement !== head) fault(`out of a keyboard's reach: ${head.textContent}`);
      head.click();
      if (!fold.open) fault(`does not open: ${head.textContent}`);
    }
  };

  // What is wrong with the order of a column's cells, or nothing.
  const disorder = (cells, numeric, way) => {
    const sign = way === "ascending" ? 1 : -1;
    if (!numeric) {
      const after = (cell, next) => sign * cell.textContent.localeCompare(next.textContent) > 0;
      return cells.some((cell, place) => place > 0 && after(cells[place - 1], cell)) && "words are in no order";
    }
    const values = cells.map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value)));
    const known = values.filter((value) => value !== null);
    if (known.some(Number.isNaN)) return "a value is no number";
    if (values.slice(0, known.length).includes(null)) return "empty cells are not last";
    return known.some((value, place) => place > 0 && sign * (known[place - 1] - value) > 0) && "numbers are in no order";
  };

  const sort = () => {
    for (const head of document.querySelectorAll("thead th")) {
      const named = `${head.closest("figure").querySelector("figcaption").textContent.slice(0, 40)}…, ${head.textContent}`;
      const button = head.querySelector("button");
      const rows = () => [...head.closest("table").tBodies[0].rows];
      const before = rows();
      verdict.heads += 1;
      button.focus();
      if (document.activeElement !== button) fault(`out of a keyboard's reach: ${named}`);
      const ways = [0, 1].map(() => {
        button.click();
        const way = head.getAttribute("aria-sort");
        const wrong = disorder(rows().map((row) => row.cells[head.cellIndex]), head.classList.contains("number"), way);
        if (wrong) fault(`${named}, ${way}: ${wrong}`);
        if (head.parentNode.querySelectorAll("[aria-sort]").length !== 1) fault(`${named}: aria-sort is not at one head`);
        return way;
      });
      if (ways.toSorted().join() !== "ascending,descending") fault(`${named}: sorted ${ways.join(", then ")}`);
      if (rows().length !== before.length || !before.every((row) => rows().includes(row))) fault(`${named}: rows are lost`);
    }
  };

  // The channels of a computed colour, and whether anything of it is seen.
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [red, green, blue, alpha = 1] = channels(getComputedStyle(at).backgroundColor);
      if (alpha > 0) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const luminance = (colour) => {
    const linear = colour.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  // The contrasts that WCAG 2.2 asks for: 4.5 of text, 3 of what is drawn.
  const contrasts = () => {
    const seen = new Set();
    const compare = (element, colour, least) => {
      const [dark, light] = [luminance(channels(colour)), luminance(behind(element))].sort((a, b) => a - b);
      const contrast = (light + 0.05) / (dark + 0.05);
      const named = `${element.localName}.${element.getAttribute("class") ?? ""}`;
      if (contrast < least && !seen.has(named)) fault(`${named} has a contrast of ${contrast.toFixed(2)}`);
      seen.add(named);
    };
    for (const one of document.querySelectorAll("p, li, a, td, th, figcaption, summary, h1, h2, h3, small, code")) compare(one, getComputedStyle(one).color, 4.5);
    for (const one of document.querySelectorAll("svg text")) compare(one, getComputedStyle(one).fill, 4.5);
    for (const one of document.querySelectorAll("svg circle, svg .fill")) compare(one, getComputedStyle(one).fill, 3);
  };

  addEventListener("load", () => {
    verdict.width = innerWidth;
    verdict.paper = luminance(behind(document.body));
    verdict.height = document.documentElement.scrollHeight;
    fits("folded");
    const metric = document.querySelector("article table thead th:nth-child(2)");
    if (metric.textContent !== "NDCG@5") fault(`the first column is ${metric.textContent}`);
    inSight("article table");
    inSight(".overview table");
    unfold();
    fits("unfolded");
    sort();
    contrasts();
    for (const one of document.querySelectorAll("[src], link, iframe, object, script[type]")) fault(`loads something: ${one.outerHTML.slice(0, 80)}`);
    parent.postMessage(JSON.stringify(verdict), "*");
  });
}
