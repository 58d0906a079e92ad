// What is wrong now, how much there is to do, and what failed last: what to look at first.

import { get } from "../api.js";
import { TimeChart } from "../charts.js";
import { el, emptyRow, field, fill, number, stateMark, table } from "../dom.js";
import { milliseconds, percent, plural, rate, time } from "../format.js";
import { History } from "../history.js";
import { statusMark } from "./requests.js";

const FAILURES = 12;
const SECONDS = 300; // of the live chart
const WORST = 8;
const BAD = 0.01;

export class OverviewView {
  id = "overview";
  title = "Overview";

  constructor() {
    this.failures = [];
    this.seconds = new Map(); // Unix second -> [requests, errors]
    this.wrong = el("section", { class: "card wrong", "aria-labelledby": "wrong-title" });
    this.figures = el("section", { class: "figures", "aria-label": "Figures of the last minute" });
    this.routes = el("section", { "aria-label": "Routes" });
    this.callers = el("section", { "aria-label": "Callers" });
    this.last = el("section", { class: "card last", "aria-labelledby": "failures-title" });
    this.span = el("select", { on: { change: () => this.refresh() } },
      ["1h", "5m", "3d"].map((span) => el("option", { value: span }, span.replace("h", " h").replace("m", " min").replace("d", " days"))));
    this.live = new TimeChart("Live requests/s", [
      { label: "requests", color: "accent", fill: true }, { label: "errors", color: "down", dash: [5, 3], fill: true },
    ], rate);
    this.history = new History();
    this.charts = el("section", { class: "traffic-charts", "aria-label": "Traffic", hidden: true },
      el("div", { class: "heading" }, el("h3", {}, "Traffic"), field("Over", this.span)), this.live.element, this.history.element);
    this.element = el("div", { class: "overview" }, this.figures,
      el("div", { class: "side" }, this.wrong, this.routes, this.callers),
      el("div", { class: "side" }, this.charts, this.last));
    this.drawFailures();
  }

  async refresh() {
    const [map, tenants] = await Promise.all([get("/map", { limit: WORST }), this.tenants()]);
    this.drawRoutes(map.data, map.total);
    this.topTenants = tenants;
    this.drawCallers();
    if (!this.charts.hidden) await this.history.refresh("all", "", this.span.value);
  }

  // Those of the monitor, where it is on.
  async tenants() {
    if (this.charts.hidden) return [];
    return (await get("/monitor", { by: "tenant", window: "5m", limit: WORST })).data.subjects;
  }

  on_state(state) {
    const { minute, services } = state;
    this.drawWrong(state);
    if (minute !== null && this.charts.hidden) this.begin();
    const down = services.down ? "down" : services.degraded ? "degraded" : null;
    fill(this.figures,
      figure("Requests/s", rate(minute?.per_second)),
      figure("Errors", percent(minute?.error_rate), minute?.error_rate >= BAD ? "down" : null),
      figure("p50", milliseconds(minute?.p50_ms)), figure("p99", milliseconds(minute?.p99_ms)),
      figure(down ? `of ${plural(services.up + services.degraded + services.down, "service")} up` : "services, all up",
        String(services.up), down));
    for (const [at, ...values] of state.seconds) this.seconds.set(at, values);
    this.drawLive();
    this.consumers = state.consumers;
    this.drawCallers();
  }

  async begin() {
    this.charts.hidden = false;
    const { data } = await get("/monitor/live");
    data.at.forEach((at, index) => this.seconds.set(Math.floor(at), [data.throughput[index], data.errors[index]]));
    await this.refresh();
  }

  drawLive() {
    const times = [...this.seconds.keys()].sort((one, other) => one - other).slice(-SECONDS);
    if (times.length > 1) {
      for (const at of this.seconds.keys()) if (at < times[0]) this.seconds.delete(at);
      this.live.set([times, times.map((at) => this.seconds.get(at)[0]), times.map((at) => this.seconds.get(at)[1])]);
    }
  }

  drawWrong({ problems, more_problems: more, services }) {
    const text = JSON.stringify([problems, more, services]);
    if (text === this.said) return;
    this.said = text;
    const total = services.up + services.degraded + services.down;
    fill(this.wrong, el("h3", { id: "wrong-title" }, problems.length ? `Wrong now (${problems.length + more})` : "No problems"),
      problems.length ? el("ul", { class: "plain problems" }, problems.map((each) => el("li", {},
        stateMark(each.state), el("a", { href: `#${each.view}?${new URLSearchParams({ search: each.name })}` }, each.text))))
        : el("p", {}, stateMark("up", `${plural(total, "service")} up, the configuration is that of the files`)),
      more ? el("p", { class: "quiet" }, `and ${more} more`) : null);
  }

  drawRoutes(routes, total) {
    const columns = ["Routes, the worst first", "State", { name: "Req/s", number: true }, { name: "Errors", number: true }, { name: "p99", number: true }];
    fill(this.routes, table("Routes, the worst first", columns, routes.length ? routes.map((each) => el("tr", {},
      el("th", { scope: "row" }, el("a", { href: `#map?${new URLSearchParams({ search: each.route })}` }, each.route)),
      el("td", {}, stateMark(each.state)), ...minuteCells(each.minute)))
      : emptyRow(columns.length, "There are no routes.")), total > WORST ? el("p", {}, el("a", { href: "#map" }, `All ${total} routes`)) : null);
  }

  drawCallers() {
    const consumers = this.consumers ?? [];
    const tenants = this.topTenants ?? [];
    if (!consumers.length && !tenants.length) return;
    const [most] = consumers;
    fill(this.callers,
      tenants.length ? table("Tenants of the last five minutes", ["Top tenants", { name: "Req/s", number: true }, { name: "Errors", number: true }],
        tenants.map((each) => el("tr", {}, el("th", { scope: "row" }, each.name), number(rate(each.throughput)),
          number(percent(each.error_rate), { class: each.error_rate >= BAD ? "bad" : "" })))) : null,
      consumers.length ? table("Consumers of the last minute", ["Top consumers", { name: "Req/s", number: true }, ""],
        consumers.map(([name, perSecond]) => el("tr", {},
          el("th", { scope: "row" }, el("a", { href: `#requests?${new URLSearchParams({ consumer: name })}` }, name)),
          number(rate(perSecond)),
          el("td", {}, el("meter", { min: "0", max: String(most[1] || 1), value: String(perSecond), "aria-hidden": "true" }))))) : null);
  }

  on_requests({ requests }) {
    const failed = requests.filter((each) => each.status >= 500).reverse();
    if (failed.length) {
      this.failures = [...failed, ...this.failures].slice(0, FAILURES);
      this.drawFailures();
    }
  }

  drawFailures() {
    fill(this.last, el("h3", { id: "failures-title" }, "Last failures"),
      this.failures.length ? el("ol", { class: "plain tail" }, this.failures.map((each) => el("li", {},
        el("time", { datetime: each.at }, time(each.at)), statusMark(each.status),
        el("a", { href: `#requests?${new URLSearchParams({ text: each.request_id })}` }, `${each.method} ${each.original_path}`),
        el("span", { class: "quiet" }, `${each.route ?? "no route"} ${each.attempts.at(-1)?.endpoint ?? ""}`),
        el("span", { title: each.error }, each.error ?? ""))))
        : el("p", { class: "quiet" }, "None of the last requests failed."));
  }
}

// The same three columns wherever there are figures of the last minute.
export function minuteCells(minute) {
  const errors = minute?.requests ? minute.error_rate : null;
  return [number(rate(minute?.per_second), { "data-label": "req/s" }),
    number(percent(errors), { "data-label": "errors", class: errors >= BAD ? "bad" : "" }),
    number(milliseconds(minute?.p99_ms), { "data-label": "p99" })];
}

function figure(name, value, state = null) {
  return el("div", { class: `figure ${state ?? ""}` }, el("span", { class: "value" }, value), el("span", { class: "quiet" }, name));
}
