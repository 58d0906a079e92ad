// Models: what they took in tokens and money, how fast they answer, what was switched, what is left alone, and budgets.

import { get } from "../api.js";
import { el, emptyRow, fill, number, table } from "../dom.js";
import { count, milliseconds, rate, since } from "../format.js";

const MOST = 100;
const USED = ["Model", { name: "Requests", number: true }, { name: "From the cache", number: true }, { name: "Input", number: true }, { name: "Cached", number: true },
  { name: "Output", number: true }, { name: "Cost", number: true }, { name: "First token, p50", number: true },
  { name: "p95", number: true }, { name: "Tokens a second", number: true }];
const CALLERS = ["Tenant", "Consumer", { name: "Requests", number: true }, { name: "Input", number: true },
  { name: "Output", number: true }, { name: "Cost", number: true }];
const SWITCHES = ["From", "To", "Why", { name: "Requests", number: true }];
const ALONE = ["Provider", "Model", "Why", { name: "Seconds left", number: true }];
const BUDGETS = ["Budget", "Caller", "Window", "Used", { name: "Held", number: true }, { name: "Of", number: true }];

export class ModelsView {
  id = "models";
  title = "Models";
  hidden = true; // until it is known that there are any

  constructor() {
    this.used = el("section", { class: "whole", "aria-label": "Models" });
    this.callers = el("section", { "aria-label": "Callers" });
    this.switches = el("section", { "aria-label": "Switches" });
    this.alone = el("section", { "aria-label": "Paused" });
    this.budgets = el("section", { "aria-label": "Budgets" });
    this.element = el("div", { class: "columns" }, this.used, this.alone, this.switches, this.callers, this.budgets);
  }

  async refresh() {
    if (this.hidden) return;
    const [models, callers] = await Promise.all([
      get("/models/usage"), get("/models/usage", { by: ["tenant", "consumer"] }),
    ]);
    this.drawUsed(models.data);
    this.drawCallers(callers.data.usage);
    this.drawSwitches(models.data.switches);
    this.drawAlone(models.data.left_alone);
    this.drawBudgets(models.data.budgets);
  }

  drawUsed({ usage, speeds, since: began, prices }) {
    const speed = new Map(speeds.map((each) => [each.model, each]));
    const rows = usage.slice(0, MOST).map((each) => {
      const its = speed.get(each.model) ?? {};
      return el("tr", {}, el("th", { scope: "row" }, each.model), number(count(each.requests)), number(count(each.cache_hits)),
        number(count(each.input_tokens)), number(count(each.cache_read_tokens)), number(count(each.output_tokens)), number(cost(each)),
        number(seconds(its.first_token_p50)), number(seconds(its.first_token_p95)), number(rate(its.tokens_per_second_p50)));
    });
    fill(this.used, el("h3", {}, "Usage", el("span", { class: "quiet" }, ` begun ${since(began)}`)),
      table("Models", USED, rows.length ? rows : emptyRow(USED.length, "No requests yet.")),
      prices.warnings.map((text) => el("p", { class: "quiet" }, text)));
  }

  drawCallers(usage) {
    const rows = usage.slice(0, MOST).map((each) => el("tr", {}, el("td", {}, each.tenant || "–"),
      el("th", { scope: "row" }, each.consumer || "–"), number(count(each.requests)), number(count(each.input_tokens)),
      number(count(each.output_tokens)), number(cost(each))));
    fill(this.callers, el("h3", {}, "Who asked"),
      table("Callers", CALLERS, rows.length ? rows : emptyRow(CALLERS.length, "None yet.")));
  }

  drawSwitches(switches) {
    const rows = switches.slice(0, MOST).map((each) => el("tr", {}, el("th", { scope: "row" }, each.from), el("td", {}, each.to),
      el("td", {}, each.reason.replaceAll("_", " ")), number(count(each.requests))));
    fill(this.switches, el("h3", {}, "Switched before the client saw anything"),
      table("Switches", SWITCHES, rows.length ? rows : emptyRow(SWITCHES.length, "None.")));
  }

  drawAlone(alone) {
    const rows = alone.slice(0, MOST).map((each) => el("tr", {},
      el("th", { scope: "row" }, each.provider), el("td", {}, each.model || "all"),
      el("td", { class: "why" }, each.reason.replaceAll("_", " ")), number(count(each.seconds))));
    fill(this.alone, el("h3", {}, "Paused providers"),
      table("Paused", ALONE, rows.length ? rows : emptyRow(ALONE.length, "No provider is paused.")));
  }

  drawBudgets(budgets) {
    const rows = budgets.flatMap((each) => each.callers.map((caller) => el("tr", {}, el("th", { scope: "row" }, each.budget),
      el("td", {}, caller.caller || "all"), el("td", {}, each.window), el("td", {}, meter(amount(caller, "used"), amount(each, "limit")),
        ` ${shown(caller, "used")}`), number(shown(caller, "held")), number(shown(each, "limit"))))).slice(0, MOST);
    fill(this.budgets, el("h3", {}, "Budgets"),
      table("Budgets", BUDGETS, rows.length ? rows : emptyRow(BUDGETS.length, "No counts yet.")));
  }
}

const UNITS = ["usd", "tokens", "requests"];
const amount = (each, name) => Number(UNITS.map((unit) => each[`${name}_${unit}`]).find((value) => value !== undefined) ?? 0);
const dollars = (value) => `$${Number(value).toFixed(Number(value) < 1 ? 4 : 2)}`;
const shown = (each, name) => (each[`${name}_usd`] === undefined ? count(amount(each, name)) : dollars(each[`${name}_usd`]));
const isCounted = (each) => each.input_tokens || each.output_tokens || each.cache_hits || Number(each.cost_usd);
const cost = (each) => each.requests && !isCounted(each) ? "–" : `${dollars(each.cost_usd)}${each.unpriced ? " +?" : ""}`;
const seconds = (value) => milliseconds(value === null || value === undefined ? null : value * 1000);
const meter = (value, most) => el("meter", { min: "0", max: String(most || 1), high: String(most * 0.8), optimum: "0", value: String(value), "aria-hidden": "true" });
