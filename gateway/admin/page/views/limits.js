// What bounds requests: breakers, concurrency, retries, the cache, the blocklist, and quotas of one consumer.

import { change, get } from "../api.js";
import { el, emptyRow, field, fill, number, stateMark, table } from "../dom.js";
import { count, percent } from "../format.js";

const MOST = 100;
const BREAKER_STATES = { closed: "up", forced_closed: "up", recovering: "degraded", half_open: "degraded", open: "down", forced_open: "down" };

export class LimitsView {
  id = "limits";
  title = "Limits";

  constructor() {
    this.breakers = el("section", { class: "whole", "aria-label": "Breakers" });
    this.services = el("section", { "aria-label": "Services" });
    this.blocked = el("section", { "aria-label": "Blocklist" });
    this.cache = el("section", { "aria-label": "Cache" });
    this.quotas = el("div", { "aria-live": "polite" });
    this.consumer = el("input", { type: "search", autocomplete: "off", spellcheck: "false", required: true });
    this.element = el("div", { class: "columns" }, this.breakers, this.services,
      el("section", { "aria-label": "Quotas" }, el("h3", {}, "Quotas"),
        el("form", { class: "filters", on: { submit: (event) => { event.preventDefault(); this.ask(); } } },
          field("Consumer", this.consumer), el("button", { type: "submit" }, "Show")), this.quotas),
      this.blocked, this.cache);
  }

  show(parameters) {
    if (parameters.consumer) {
      this.consumer.value = parameters.consumer;
      this.ask();
    }
  }

  async refresh() {
    const asked = { limit: MOST };
    const [breakers, limits, budgets, blocked, cache] = await Promise.all([
      get("/breakers", asked), get("/limits", asked), get("/budgets", asked), get("/blocklist", asked), get("/cache"),
    ]);
    this.drawBreakers(breakers);
    this.drawServices(limits, budgets);
    this.drawBlocked(blocked.data);
    this.drawCache(cache.data);
  }

  drawBreakers({ data, total }) {
    const rank = (each) => ["down", "degraded", "up"].indexOf(BREAKER_STATES[each.state]);
    const rows = [...data].sort((one, other) => rank(one) - rank(other)).map((each) => el("tr", {},
      el("td", {}, stateMark(BREAKER_STATES[each.state], each.state.replaceAll("_", " "))),
      el("th", { scope: "row" }, each.route), el("td", {}, each.target), number(count(each.calls)),
      number(count(each.errors), { class: each.errors ? "bad" : "" }), number(count(each.refused)),
      el("td", { class: "why" }, each.state === "closed" ? "" : each.reason,
        each.tries_again_in === null ? null : ` tries again in ${each.tries_again_in.toFixed(0)} s`),
      el("td", {}, this.force(each))));
    const columns = ["State", "Route", "Target", { name: "Calls", number: true }, { name: "Errors", number: true },
      { name: "Refused", number: true }, "Why", ""];
    fill(this.breakers, el("h3", {}, "Breakers", more(total)), table("Breakers", columns,
      rows.length ? rows : emptyRow(columns.length, "No route has a breaker.")));
  }

  force(each) {
    const to = each.state.startsWith("forced") ? "auto" : "open";
    const words = to === "open" ? "Open" : "Automatic";
    return el("button", { type: "button", "aria-label": `${words}: breaker of ${each.route} for ${each.target}`, on: { click: async () => {
      const path = `/breakers/${encodeURIComponent(each.route)}?target=${encodeURIComponent(each.target)}`;
      await change("PUT", path, `${words}: the breaker of ${each.route}`, { state: to, reason: "from the page" })
        .catch((error) => fill(this.breakers, el("p", { class: "problem", role: "alert" }, error.message)));
      await this.refresh();
    } } }, words);
  }

  drawServices(limits, budgets) {
    const columns = ["Service", { name: "In flight", number: true }, { name: "Limit", number: true }, { name: "Refused", number: true }];
    const retries = ["Service", { name: "Remaining retries", number: true }, { name: "Made", number: true }, { name: "Refused", number: true }];
    const busiest = [...limits.data].sort((one, other) => other.in_flight / other.limit - one.in_flight / one.limit);
    const poorest = [...budgets.data].sort((one, other) => other.refused - one.refused || other.retries - one.retries);
    fill(this.services,
      el("h3", {}, "Concurrent requests", more(limits.total)),
      table("Concurrency limits", columns, busiest.length ? busiest.map((each) => el("tr", {},
        el("th", { scope: "row" }, each.service), number(count(each.in_flight)),
        number(`${count(each.limit)}${each.adaptive ? " (adaptive)" : ""}`), number(count(each.refused), { class: each.refused ? "bad" : "" })))
        : emptyRow(columns.length, "No service has a limit.")),
      el("h3", {}, "Retries", more(budgets.total)),
      table("Retry budgets", retries, poorest.length ? poorest.map((each) => el("tr", {},
        el("th", { scope: "row" }, each.service), number(count(each.available)), number(count(each.retries)),
        number(count(each.refused), { class: each.refused ? "bad" : "" }))) : emptyRow(retries.length, "Nothing is retried.")));
  }

  drawBlocked({ entries, count: total }) {
    const columns = ["Kind", "Whom", "Until", "Why"];
    fill(this.blocked, el("h3", {}, "Blocklist", more(total)), table("Blocklist", columns,
      entries.length ? entries.map((each) => el("tr", {}, el("td", {}, each.kind), el("th", { scope: "row" }, each.value),
        el("td", {}, each.until ?? "for ever"), el("td", { class: "why" }, each.reason))) : emptyRow(columns.length, "No client is blocked.")));
  }

  drawCache(caches) {
    fill(this.cache, caches.map((each) => {
      const hits = each.hits_total + each.collapsed_total + each.stale_total + each.revalidated_total;
      const asked = hits + each.misses_total;
      return [el("h3", {}, "Cache"), el("p", {}, asked ? `${percent(hits / asked)} of ${count(asked)} requests that it could answer` : "No requests yet.")];
    }));
  }

  async ask() {
    try {
      const { data } = await get("/quotas", { consumer: this.consumer.value });
      const columns = ["Quota", "Used", "Of", "Until"];
      fill(this.quotas, table(`Quotas of ${data.consumer}`, columns, data.quotas.map((each) => el("tr", {},
        el("th", { scope: "row" }, each.name, each.route ? ` (${each.route})` : ""),
        el("td", {}, each.used === null ? each.why : [el("meter", { min: "0", max: String(each.limit), high: String(each.limit * 0.8), optimum: "0", value: String(each.used), "aria-hidden": "true" }), ` ${count(each.used)}`]),
        number(count(each.limit)), el("td", {}, each.resets ?? "")))));
    } catch (error) {
      fill(this.quotas, el("p", { class: "quiet" }, error.message));
    }
  }
}

const more = (total) => (total > MOST ? el("span", { class: "quiet" }, ` ${MOST} of ${count(total)}`) : null);
