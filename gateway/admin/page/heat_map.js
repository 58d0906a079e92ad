// How many requests took how long, over time: the darker the more.

import { el, fill, table } from "./dom.js";
import { clock, count, milliseconds } from "./format.js";

const HEIGHT = 150;
const LEFT = 54;
const BELOW = 22;
const TOP = 6;
const ROWS = 60;
const dark = matchMedia("(prefers-color-scheme: dark)");

export class HeatMap {
  constructor(title) {
    this.title = title;
    this.at = [];
    this.bounds = [];
    this.counts = [];
    this.canvas = el("canvas", { "aria-hidden": "true", on: {
      pointermove: (event) => this.point(event), pointerleave: () => this.say(null),
    } });
    this.words = el("span", { class: "quiet" });
    this.rows = el("div");
    this.box = el("div", { class: "plot" }, this.canvas);
    this.details = el("details", { on: { toggle: () => this.drawTable() } }, el("summary", {}, "As a table"), this.rows);
    this.element = el("figure", { class: "chart", "aria-label": title },
      el("figcaption", {}, el("h4", {}, title), this.words), this.box, this.details);
    new ResizeObserver(() => this.draw()).observe(this.box);
    dark.addEventListener("change", () => this.draw());
  }

  // at: Unix seconds; bounds: the longest time of each band, in milliseconds; counts: of each time, of each band, or null.
  set(at, { bounds_ms: bounds, counts }) {
    Object.assign(this, { at, bounds, counts });
    this.most = Math.max(1, ...counts.map((each) => Math.max(0, ...(each ?? []))));
    this.say(null);
    this.draw();
    this.drawTable();
  }

  cell() {
    return [(this.box.clientWidth - LEFT) / Math.max(1, this.at.length), (HEIGHT - BELOW - TOP) / Math.max(1, this.bounds.length)];
  }

  draw() {
    const width = this.box.clientWidth;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = HEIGHT * scale;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const [wide, high] = this.cell();
    pen.fillStyle = style.getPropertyValue("--accent");
    this.counts.forEach((bands, x) => (bands ?? []).forEach((number, y) => {
      if (!number) return;
      pen.globalAlpha = 0.12 + 0.88 * Math.sqrt(number / this.most);
      pen.fillRect(LEFT + x * wide, HEIGHT - BELOW - (y + 1) * high, Math.max(1, wide - 0.5), Math.max(1, high - 0.5));
    }));
    pen.globalAlpha = 1;
    pen.fillStyle = style.getPropertyValue("--quiet");
    pen.font = "11px system-ui";
    this.drawScales(pen, wide, high, width);
  }

  drawScales(pen, wide, high, width) {
    pen.textAlign = "right";
    const each = Math.max(1, Math.ceil(18 / high));
    this.bounds.forEach((bound, y) => {
      if (y % each === 0) pen.fillText(milliseconds(bound), LEFT - 6, HEIGHT - BELOW - y * high - 1);
    });
    pen.textAlign = "center";
    const every = Math.max(1, Math.ceil(80 / wide));
    for (let x = every >> 1; x < this.at.length; x += every) {
      if (LEFT + x * wide < width - 20) pen.fillText(clock(this.at[x]), LEFT + x * wide, HEIGHT - 6);
    }
  }

  point(event) {
    const [wide, high] = this.cell();
    const x = Math.floor((event.offsetX - LEFT) / wide);
    const y = Math.floor((HEIGHT - BELOW - event.offsetY) / high);
    this.say(this.counts[x]?.[y] === undefined ? null : [x, y]);
  }

  say(cell) {
    if (cell === null) {
      fill(this.words, this.bounds.length ? `up to ${milliseconds(this.bounds.at(-1))}; point at it` : "no requests");
    } else {
      const [x, y] = cell;
      fill(this.words, `${clock(this.at[x])}: ${count(this.counts[x][y])} within ${y ? `${milliseconds(this.bounds[y - 1])} to ` : ""}${milliseconds(this.bounds[y])}`);
    }
  }

  drawTable() {
    if (!this.details.open) return;
    const from = Math.max(0, this.at.length - ROWS);
    fill(this.rows, table(this.title, ["Time", ...this.bounds.map((bound) => ({ name: `≤ ${milliseconds(bound)}`, number: true }))],
      this.at.slice(from).map((at, index) => el("tr", {}, el("th", { scope: "row" }, clock(at)),
        (this.counts[from + index] ?? this.bounds.map(() => null)).map((number) => el("td", { class: "number" }, count(number))))).reverse()));
  }
}
