// What comes of requests by route, service, endpoint and tenant: a table, and charts of one of them.

import { get } from "../api.js";
import { el, emptyRow, field, fill, fillRows, number, table } from "../dom.js";
import { count, milliseconds, percent, plural, rate } from "../format.js";
import { History } from "../history.js";
import { shareBar } from "./endpoints.js";

const PAGE = 50;
const BAD = 0.01; // share of errors, from which on it is marked
const BY = { route: "routes", upstream: "services", endpoint: "endpoints", tenant: "tenants" };
const SORTS = { requests: "requests", error_rate: "errors", p99: "p99", name: "name" };
const COLUMNS = ["Name", { name: "Requests/s", number: true }, "Share", { name: "Errors", number: true },
  { name: "p50", number: true }, { name: "p90", number: true }, { name: "p99", number: true }, { name: "p99.9", number: true }];

export class TrafficView {
  id = "traffic";
  title = "Traffic";
  hidden = true; // until the monitor is known to be on

  constructor({ go }) {
    this.go = go;
    this.offset = 0;
    this.name = null; // of the charts; null: the first of the table
    this.by = choice(BY, () => this.ask({ name: null }));
    this.window = choice({ "1m": "1 min", "5m": "5 min", "1h": "1 h", "10s": "10 s" }, () => this.ask());
    this.sort = choice(SORTS, () => this.ask());
    this.span = choice({ "1h": "1 h", "5m": "5 min", "3d": "3 days" }, () => this.ask());
    this.search = el("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "orders*", on: {
      input: () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.ask(), 250); },
    } });
    this.counts = el("p", { class: "quiet", role: "status" });
    this.body = el("tbody");
    this.former = el("button", { type: "button", on: { click: () => this.turn(-PAGE) } }, "Previous");
    this.next = el("button", { type: "button", on: { click: () => this.turn(PAGE) } }, "Next");
    this.history = new History();
    this.chosen = el("h3");
    this.element = el("div", {},
      el("form", { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
        field("By", this.by), field("Name", this.search), field("Window", this.window), field("Sort by", this.sort),
        field("Charts", this.span), this.counts),
      el("section", { "aria-live": "off" }, this.chosen, this.history.element),
      table("Traffic", COLUMNS, this.body, { class: "traffic" }),
      el("p", { class: "pages" }, this.former, this.next));
  }

  show(parameters) {
    this.by.value = parameters.by in BY ? parameters.by : "route";
    this.name = parameters.name ?? null;
    if (parameters.sort in SORTS) this.sort.value = parameters.sort;
  }

  ask(changes = {}) {
    this.offset = 0;
    if ("name" in changes) this.name = null;
    this.refresh();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.refresh();
  }

  async refresh() {
    const by = this.by.value;
    const searched = this.search.value.trim();
    const { data, total } = await get("/monitor", {
      by, window: this.window.value, sort: this.sort.value, offset: this.offset, limit: PAGE,
      name: searched && !searched.includes("*") ? `*${searched}*` : searched,
    });
    const end = Math.min(this.offset + data.subjects.length, total);
    const leftOut = data.left_out ? `; of ${plural(data.left_out, "other")} there was no room for everything` : "";
    fill(this.counts, `${total ? this.offset + 1 : 0}–${end} of ${count(total)} ${BY[by]} with requests${leftOut}`);
    this.former.disabled = this.offset === 0;
    this.next.disabled = end >= total;
    this.name ??= data.subjects[0]?.name ?? null;
    fillRows(this.body, data.subjects.length ? data.subjects.map((each) => this.row(each, data.all.requests))
      : emptyRow(COLUMNS.length, "No requests in this window."));
    fill(this.chosen, this.name === null ? "" : named(this.name));
    if (this.name !== null) await this.history.refresh(by, this.name, this.span.value);
  }

  row(each, all) {
    const pick = () => {
      this.name = each.name;
      this.refresh();
    };
    return el("tr", { class: each.name === this.name ? "chosen" : null },
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", "data-key": each.name,
        "aria-pressed": String(each.name === this.name), on: { click: pick } }, named(each.name))),
      number(rate(each.throughput)), el("td", {}, shareBar(all ? each.requests / all : null)),
      number(percent(each.error_rate), { class: each.error_rate >= BAD ? "bad" : "" }),
      number(milliseconds(each.p50_ms)), number(milliseconds(each.p90_ms)), number(milliseconds(each.p99_ms)),
      number(milliseconds(each.p999_ms)));
  }
}

// What no route took, and what there was no room for, has no name.
const named = (name) => ({ "-": "(none)", _other: "(others)" })[name] ?? name;

function choice(options, change) {
  return el("select", { on: { change } }, Object.entries(options).map(([value, name]) => el("option", { value }, name)));
}
