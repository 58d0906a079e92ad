// Lines over time (uPlot), with what they show in words and as a table.

import { el, fill, table } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 150;
const ROWS = 60; // of the table
const dark = matchMedia("(prefers-color-scheme: dark)");

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// series: [{label, color: name of a CSS variable, dash, fill}]; show: a number as text.
export class TimeChart {
  constructor(title, series, show) {
    this.title = title;
    this.series = series;
    this.show = show;
    this.data = [[], ...series.map(() => [])];
    this.words = el("figcaption");
    this.box = el("div", { class: "plot", "aria-hidden": "true" });
    this.rows = el("div");
    this.details = el("details", { on: { toggle: () => this.drawTable() } }, el("summary", {}, "As a table"), this.rows);
    this.element = el("figure", { class: "chart", "aria-label": title }, this.words, this.box, this.details);
    this.drawWords();
    new ResizeObserver(() => this.resize()).observe(this.box);
    dark.addEventListener("change", () => this.rebuild());
  }

  // columns: [times (Unix seconds), values of each series, null where nothing is known]
  set(columns) {
    this.data = columns;
    this.drawWords();
    this.plot ? this.plot.setData(columns) : this.resize();
    if (this.details.open) this.drawTable();
  }

  // The values at a place of the chart; the last ones where there is none.
  drawWords(index = null) {
    const at = index === null ? null : this.data[0][index];
    const said = this.series.map((each, number) => {
      const values = this.data[number + 1];
      const value = index === null ? values.findLast((one) => one !== null && one !== undefined) : values[index];
      return el("span", { class: "key" }, el("span", { class: `line ${each.color}`, "aria-hidden": "true" }),
        `${each.label} `, el("strong", {}, this.show(value)));
    });
    fill(this.words, el("h4", {}, this.title), said, at ? el("span", { class: "quiet" }, clock(at)) : null);
  }

  resize() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.plot ? this.plot.setSize({ width, height: HEIGHT }) : this.build(width);
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    this.resize();
  }

  build(width) {
    const axis = { stroke: color("quiet"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    this.plot = new uPlot({
      width, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 5 }, sync: { key: "time" } },
      hooks: { setCursor: [(plot) => this.drawWords(plot.cursor.idx ?? null)] },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [{ ...axis, size: 26, space: 70, values: (_, ticks, __, ___, step) => ticks.map((tick) => clock(tick, step < 60)) },
        { ...axis, size: 54, space: 32, values: (_, ticks) => ticks.map((tick) => this.show(tick)) }],
      series: [{}, ...this.series.map((each) => ({
        label: each.label, stroke: color(each.color), width: 1.6, dash: each.dash, points: { show: () => this.isSparse(), size: 4 },
        fill: each.fill ? `${color(each.color)}22` : undefined,
      }))],
    }, this.data, this.box);
  }

  // A line of few points, of which some may stand alone, is only seen with them.
  isSparse() {
    return this.data[1].filter((value) => value !== null).length < 30;
  }

  drawTable() {
    if (!this.details.open) return;
    const [times, ...columns] = this.data;
    const from = Math.max(0, times.length - ROWS);
    fill(this.rows, table(this.title, ["Time", ...this.series.map(({ label }) => ({ name: label, number: true }))],
      times.slice(from).map((at, index) => el("tr", {}, el("th", { scope: "row" }, clock(at)),
        columns.map((values) => el("td", { class: "number" }, this.show(values[from + index]))))).reverse()));
  }
}
