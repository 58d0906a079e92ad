// Elements are made here, and only here. Texts become text nodes, never markup: what clients send cannot become a part
// of the page. (Content-Security-Policy forbids the other way, too.)

// el("button", {class: "x", "aria-expanded": "false", on: {click: f}}, "text", otherElement, null, [more])
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// Replaces the rows of a table body and leaves the focus where it was, on what has the same data-key.
export function fillRows(body, rows) {
  const key = body.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  fill(body, rows);
  if (key !== undefined) {
    for (const element of body.querySelectorAll("[data-key]")) {
      if (element.dataset.key === key) element.focus({ preventScroll: true });
    }
  }
}

// A table that a screen reader can walk: a caption, and column headers. `body`: its rows, or the tbody to use.
export function table(caption, columns, body, attributes = {}) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", attributes,
      el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, columns.map(heading))),
      body instanceof Element ? body : el("tbody", {}, body)));
}

export function heading(column) {
  const { name, number, hint } = typeof column === "string" ? { name: column } : column;
  return el("th", { scope: "col", class: number ? "number" : null, title: hint }, name);
}

export function row(...cells) {
  return el("tr", {}, cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell))));
}

export function number(text, attributes = {}) {
  return el("td", { ...attributes, class: `number ${attributes.class ?? ""}` }, text);
}

const SIGNS = { up: "●", in: "●", degraded: "▲", draining: "◐", down: "✕", out: "✕", none: "○" };

// A state in three ways: colour, sign, word.
export function stateMark(state, word = state) {
  return el("span", { class: `state ${state}` }, el("span", { "aria-hidden": "true" }, SIGNS[state] ?? "○"), " ", word);
}

export function emptyRow(columns, text) {
  return el("tr", { class: "empty" }, el("td", { colspan: columns }, text));
}

// A button in front of a row that opens another row below it.
export function opener(key, isOpen, label, toggle) {
  return el("button", {
    class: "opener", type: "button", "aria-expanded": String(isOpen), "aria-label": `${label}: details`,
    "data-key": key, on: { click: toggle },
  }, el("span", { "aria-hidden": "true" }, isOpen ? "▾" : "▸"));
}

export function field(label, control) {
  control.setAttribute("aria-label", label);
  return el("label", { class: "field" }, el("span", {}, label), control);
}

export function pairs(entries) {
  return el("dl", { class: "pairs" }, entries
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
