// The three charts of one subject: all requests, a route, a service, an endpoint.

import { get } from "./api.js";
import { TimeChart } from "./charts.js";
import { el } from "./dom.js";
import { milliseconds, rate } from "./format.js";
import { HeatMap } from "./heat_map.js";

const LEAST = 10; // points, however young the gateway is

// Where what was watched begins: a gateway that has just started is not shown as a thin line at the edge.
function firstWatched(values) {
  const first = values.findIndex((value) => value !== null);
  return Math.max(0, Math.min(first, values.length - LEAST));
}

// In the first minute there is no whole one.
const isEmpty = ({ series }) => series.every((each) => each.requests.every((value) => value === null));

export class History {
  constructor() {
    this.rates = new TimeChart("Requests/s", [
      { label: "requests", color: "accent", fill: true }, { label: "errors", color: "down", dash: [5, 3], fill: true },
    ], rate);
    this.latencies = new TimeChart("Latency", [
      { label: "p50", color: "up" }, { label: "p90", color: "degraded", dash: [2, 3] }, { label: "p99", color: "down", dash: [6, 3] },
    ], milliseconds);
    this.heat = new HeatMap("Latency heat map");
    this.element = el("div", { class: "charts" }, this.rates.element, this.latencies.element, this.heat.element);
  }

  async refresh(by, name, window) {
    let { data } = await get("/monitor/history", { by, name, window });
    if (isEmpty(data) && window !== "5m") ({ data } = await get("/monitor/history", { by, name, window: "5m" }));
    if (data.series.length === 0) return;
    const [whole] = data.series;
    const from = firstWatched(whole.requests);
    const at = data.at.slice(from);
    const series = Object.fromEntries(Object.entries(whole).map(([key, values]) => [key, Array.isArray(values) ? values.slice(from) : values]));
    const errors = series.throughput.map((each, index) => (each ? each * series.error_rate[index] : each));
    this.rates.set([at, series.throughput, errors]);
    this.latencies.set([at, series.p50_ms, series.p90_ms, series.p99_ms]);
    this.heat.set(at, { bounds_ms: series.heat.bounds_ms, counts: series.heat.counts.slice(from) });
  }
}
