// Routes, the services that they go to, and their endpoints: the worst first. In pages, as the gateway sorts them.

import { get } from "../api.js";
import { el, emptyRow, field, fill, fillRows, number, opener, stateMark, table } from "../dom.js";
import { count, plural } from "../format.js";
import { endpointTable, shareBar } from "./endpoints.js";
import { minuteCells } from "./overview.js";

const PAGE = 50;
const COLUMNS = ["", "State", "Route", "Path", "Leads to", { name: "Req/s", number: true }, { name: "Errors", number: true },
  { name: "p99", number: true }, { name: "Share", hint: "of all requests of the last minute" }, "Why"];

export class MapView {
  id = "map";
  title = "Map";

  constructor({ go }) {
    this.go = go;
    this.open = new Map(); // route -> the row that is shown below it
    this.offset = 0;
    this.total = 0;
    this.search = el("input", { type: "search", autocomplete: "off", spellcheck: "false", on: { input: () => this.filter() } });
    this.state = el("select", { on: { change: () => this.filter() } },
      ["", "degraded", "down", "up"].map((state) => el("option", { value: state }, state || "all")));
    this.counts = el("p", { class: "quiet", role: "status" });
    this.body = el("tbody");
    this.former = el("button", { type: "button", on: { click: () => this.turn(-PAGE) } }, "Previous");
    this.next = el("button", { type: "button", on: { click: () => this.turn(PAGE) } }, "Next");
    const shown = table("Routes, the worst first", COLUMNS, this.body, { class: "map cards" });
    this.element = el("div", {},
      el("form", { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
        field("Search", this.search), field("State", this.state), this.counts),
      shown, el("p", { class: "pages" }, this.former, this.next));
  }

  show(parameters) {
    this.search.value = parameters.search ?? "";
    this.state.value = parameters.state ?? "";
    this.offset = Number(parameters.offset ?? 0) || 0;
  }

  filter() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.offset = 0;
      this.refresh();
    }, 150);
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.refresh();
  }

  async refresh() {
    const asked = { search: this.search.value, state: this.state.value, offset: this.offset, limit: PAGE };
    const { data, total, headers } = await get("/map", asked);
    this.total = total;
    const end = Math.min(this.offset + data.length, total);
    fill(this.counts, `${total ? this.offset + 1 : 0}–${end} of ${plural(total, "route")}; `
      + `${headers.get("x-down")} down, ${headers.get("x-degraded")} degraded`);
    this.former.disabled = this.offset === 0;
    this.next.disabled = end >= total;
    fillRows(this.body, data.length ? data.map((route) => this.rows(route)) : emptyRow(COLUMNS.length, "Unknown route."));
    await Promise.all(data.filter((route) => this.open.has(route.route)).map((route) => this.detail(route)));
  }

  rows(route) {
    const isOpen = this.open.has(route.route);
    const main = el("tr", {},
      el("td", {}, opener(route.route, isOpen, `Route ${route.route}`, () => this.toggle(route))),
      el("td", {}, stateMark(route.state)),
      el("th", { scope: "row" }, route.route),
      el("td", { class: "path" }, route.methods.length ? `${route.methods.join(", ")} ` : null,
        route.hosts.length ? el("span", { class: "quiet" }, route.hosts.join(", ")) : null, route.paths.join("  ")),
      el("td", {}, route.answers ? el("span", { class: "quiet" }, route.answers) : route.ways.map(chip)),
      ...minuteCells(route.minute), el("td", { "data-label": "share" }, shareBar(route.share)),
      el("td", { class: "why" }, route.reason));
    return isOpen ? [main, this.open.get(route.route)] : [main];
  }

  toggle(route) {
    if (!this.open.delete(route.route)) {
      this.open.set(route.route, el("tr", { class: "detail" }, el("td", { colspan: COLUMNS.length }, "…")));
    }
    this.refresh();
  }

  async detail(route) {
    const services = [...new Set(route.ways.map((way) => way.service).filter(Boolean))];
    const parts = await Promise.all(services.map((name) => this.service(name)));
    const breakers = route.ways.filter((way) => way.breaker && way.breaker !== "closed");
    const cell = this.open.get(route.route)?.firstElementChild;
    if (cell) fill(cell,
      el("p", {}, el("button", { type: "button", on: { click: () => this.go("requests", { route: route.route }) } }, "Its requests"),
        " ", route.minute ? el("button", { type: "button", on: { click: () => this.go("traffic", { by: "route", name: route.route }) } }, "Its charts") : null,
        " ", el("button", { type: "button", on: { click: () => this.go("explain", { url: route.paths[0] }) } }, "Explain a request")),
      breakers.map((way) => el("p", { class: "problem" }, `${way.name}: ${way.reason ?? `the breaker is ${way.breaker.replaceAll("_", " ")}`}`)),
      parts.length ? parts : el("p", { class: "quiet" }, "The gateway itself answers this."));
  }

  async service(name) {
    const { data, total } = await get(`/services/${encodeURIComponent(name)}`, { limit: PAGE });
    const source = `${plural(data.of, "endpoint")} from ${data.source}`;
    return el("section", { "aria-label": `Service ${name}` },
      el("h3", {}, stateMark(data.state), " ", name, el("span", { class: "quiet" }, ` ${source}`)),
      data.stale ? el("p", { class: "problem" }, `Stale: ${data.stale}`) : null,
      endpointTable(name, data),
      total > PAGE ? el("p", { class: "quiet" }, `${count(total - PAGE)} more: gateway top --service ${name}`) : null);
  }
}

function chip(way) {
  const weight = way.weight === null ? "" : ` weight ${way.weight}`;
  const role = way.role === "target" ? "" : `${way.role} `;
  const breaker = way.breaker && way.breaker !== "closed" ? `, breaker ${way.breaker.replaceAll("_", " ")}` : "";
  const endpoints = way.of === null ? "in this process" : `${way.usable} of ${way.of}`;
  return el("span", { class: "chip" }, role ? el("span", { class: "quiet" }, role) : null,
    stateMark(way.state, way.name), el("span", { class: "quiet" }, ` ${endpoints}${weight}${breaker}`));
}
