// The endpoints of a service: each on one line, with all that is known of it.

import { el, emptyRow, number, stateMark, table } from "../dom.js";
import { count, milliseconds, percent, since } from "../format.js";

const COLUMNS = [
  "State", "Endpoint", { name: "Share", hint: "of the requests of its service" }, { name: "Weight", number: true }, "Zone",
  { name: "In flight", number: true }, { name: "Requests", number: true }, { name: "Failures", number: true },
  { name: "Mean", number: true, hint: "moving average, where the balancer keeps one" }, { name: "Conns", number: true },
  "Last check", "Why, since",
];

export function endpointTable(service, endpoints) {
  const order = (each) => (each.state === "out" ? 0 : each.failing ? 1 : 2);
  const sorted = [...endpoints].sort((one, other) => order(one) - order(other));
  return table(`Endpoints of ${service}`, COLUMNS,
    sorted.length ? sorted.map(endpointRow) : emptyRow(COLUMNS.length, "It has no endpoints."), { class: "endpoints" });
}

function endpointRow(each) {
  const state = each.state === "in" && each.failing ? stateMark("degraded", "failing") : stateMark(each.state);
  const probe = each.last_probe;
  return el("tr", {},
    el("td", {}, state),
    el("th", { scope: "row" }, each.endpoint),
    el("td", {}, shareBar(each.share)),
    number(count(each.weight)), el("td", {}, each.zone ?? "–"), number(count(each.in_flight)),
    number(count(each.requests)), number(count(each.failures), { class: each.failures ? "bad" : "" }),
    number(milliseconds(each.ewma_ms)), number(`${each.connections.open}`),
    el("td", { class: probe && !probe.passed ? "bad" : null },
      probe ? `${probe.passed ? "passed" : "failed"} ${since(probe.at)}, ${probe.result}` : "not checked"),
    el("td", { class: "why" }, each.reason ?? each.failing ?? "", each.since ? el("span", { class: "quiet" }, ` since ${since(each.since).replace(" ago", "")}`) : null));
}

export function shareBar(share) {
  if (share === null || share === undefined) return "–";
  return el("span", { class: "share" }, el("meter", { min: "0", max: "1", value: String(share), "aria-hidden": "true" }),
    ` ${percent(share)}`);
}
