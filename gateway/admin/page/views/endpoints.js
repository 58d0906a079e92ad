// The endpoints of a service: each on one line, with all that is known of it.

import { el, emptyRow, number, stateMark, table } from "../dom.js";
import { count, percent, since } from "../format.js";
import { minuteCells } from "./overview.js";

const COLUMNS = [
  "State", "Endpoint", { name: "Share", hint: "of the requests of its service in the last minute" },
  { name: "Req/s", number: true }, { name: "Errors", number: true }, { name: "p99", number: true },
  { name: "In flight", number: true }, { name: "Weight", number: true }, "Zone", { name: "Requests", number: true, hint: "since the start" },
  { name: "Failures", number: true, hint: "since the start" }, { name: "Conns", number: true }, "Last check", "Why, since",
];

// service: as GET /services/NAME has it
export function endpointTable(name, service) {
  const order = (each) => (each.state === "out" ? 0 : each.failing ? 1 : 2);
  const sorted = [...service.endpoints].sort((one, other) => order(one) - order(other));
  return table(`Endpoints of ${name}`, COLUMNS,
    sorted.length ? sorted.map((each) => endpointRow(each, service.minute)) : emptyRow(COLUMNS.length, "It has no endpoints."), { class: "endpoints" });
}

function endpointRow(each, service) {
  const state = each.state === "in" && each.failing ? stateMark("degraded", "failing") : stateMark(each.state);
  const probe = each.last_probe;
  const since_ = each.since ? el("span", { class: "quiet" }, ` since ${since(each.since).replace(" ago", "")}`) : null;
  return el("tr", {},
    el("td", {}, state), el("th", { scope: "row" }, each.endpoint),
    el("td", {}, shareBar(service?.requests ? each.minute.requests / service.requests : null)),
    ...minuteCells(each.minute), number(count(each.in_flight)), number(count(each.weight)), el("td", {}, each.zone ?? "–"),
    number(count(each.requests)), number(count(each.failures), { class: each.failures ? "bad" : "" }), number(`${each.connections.open}`),
    el("td", { class: probe && !probe.passed ? "bad" : null },
      probe ? `${probe.passed ? "passed" : "failed"} ${since(probe.at)}, ${probe.result}` : "not checked"),
    el("td", { class: "why" }, each.reason ?? each.failing ?? "", since_));
}

export function shareBar(share) {
  if (share === null || share === undefined) return "–";
  return el("span", { class: "share" }, el("meter", { min: "0", max: "1", value: String(share), "aria-hidden": "true" }),
    ` ${percent(share)}`);
}
