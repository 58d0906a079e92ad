// Alerts that fire, are pending or were over a while ago, how they are sent, and silences.

import { change, get } from "../api.js";
import { el, emptyRow, fill, number, stateMark, table } from "../dom.js";
import { count, plural, since } from "../format.js";

const MOST = 100;
const STATES = { firing: "down", pending: "degraded", resolved: "up" };
const ALERTS = ["State", "Rule", "Severity", "About", "Since", "What", ""];
const SENDERS = ["Sender", "Kind", { name: "Sent", number: true }, { name: "Waiting", number: true }, { name: "Failed", number: true },
  { name: "Dropped", number: true }, "Failure"];
const SILENCES = ["Rule", "About", "Severity", "Until", "Why", "By", ""];

export class AlertsView {
  id = "alerts";
  title = "Alerts";
  hidden = true; // until it is known that this process looks at alerts

  constructor() {
    this.problem = el("p", { class: "problem", role: "alert" });
    this.alerts = el("section", { "aria-label": "Alerts" });
    this.senders = el("section", { "aria-label": "Senders" });
    this.silences = el("section", { "aria-label": "Silences" });
    this.element = el("div", { class: "overview-alerts" }, this.problem, this.alerts, this.senders, this.silences);
  }

  async refresh() {
    if (this.hidden) return;
    const [alerts, silences] = await Promise.all([get("/alerts", { limit: MOST }), get("/silences", { limit: MOST })]);
    this.drawAlerts(alerts.data);
    this.drawSenders(alerts.data);
    this.drawSilences(silences.data);
  }

  drawAlerts({ alerts, count: total, left_out: leftOut }) {
    const lacking = Object.entries(leftOut).map(([rule, one]) => `${rule}: ${plural(one, "other")} not looked at, there are too many`);
    fill(this.alerts, el("h3", {}, `Alerts${total > MOST ? ` (${MOST} of ${count(total)})` : ""}`),
      table("Alerts", ALERTS, alerts.length ? alerts.map((each) => el("tr", {},
        el("td", {}, stateMark(STATES[each.state], each.state)),
        el("th", { scope: "row" }, each.rule), el("td", {}, each.severity),
        el("td", {}, `${each.subject.kind} ${each.subject.name}`), el("td", {}, since(each.since)),
        el("td", { class: "why" }, each.summary, " ", runbook(each.runbook)),
        el("td", {}, each.silenced_by ? "silenced" : each.state === "resolved" ? null : this.silencer(each))))
        : emptyRow(ALERTS.length, "Nothing fires or is pending."), { class: "cards" }), lacking.map((text) => el("p", { class: "problem" }, text)));
  }

  silencer(each) {
    const subject = `${each.subject.kind} ${each.subject.name}`.trim();
    const what = `Silence ${each.rule} of ${subject} for two hours`;
    return el("button", { type: "button", "aria-label": what, on: { click: () => this.change("POST", "/silences", what,
      { rule: each.rule, subject, for: "2h", comment: "from the page" }) } }, "Silence for 2 h");
  }

  drawSenders({ senders, speaks }) {
    fill(this.senders, el("h3", {}, "Receivers"), table("Senders", SENDERS, senders.length ? senders.map((each) => el("tr", {},
      el("th", { scope: "row" }, each.name), el("td", {}, each.kind), number(count(each.sent)), number(count(each.waiting)),
      number(count(each.failures), { class: each.failures ? "bad" : "" }), number(count(each.dropped), { class: each.dropped ? "bad" : "" }),
      el("td", { class: "why bad" }, each.failure))) : emptyRow(SENDERS.length, "None: alerts.send of middleware.yaml is empty.")),
    speaks ? null : el("p", { class: "quiet" }, "Another gateway of the same Redis sends the alerts at the moment."));
  }

  drawSilences({ silences }) {
    fill(this.silences, el("h3", {}, "Silences"), table("Silences", SILENCES, silences.length ? silences.map((each) => el("tr", {},
      el("th", { scope: "row" }, each.rule || "every rule"), el("td", {}, each.subject || "everything"), el("td", {}, each.severity || "every"),
      el("td", {}, new Date(each.until).toLocaleString()), el("td", { class: "why" }, each.comment), el("td", {}, each.author),
      el("td", {}, el("button", { type: "button", "aria-label": `Lift the silence of ${each.rule || "every rule"}`, on: {
        click: () => this.change("DELETE", `/silences/${encodeURIComponent(each.id)}`, "Lift a silence"),
      } }, "Lift")))) : emptyRow(SILENCES.length, "None.")));
  }

  async change(method, path, what, body) {
    try {
      await change(method, path, what, body);
      this.problem.textContent = "";
      await this.refresh();
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }
}

// Only where it is the address of a page: configuration may hold any text.
function runbook(address) {
  return /^https?:\/\//.test(address ?? "") ? el("a", { href: address, rel: "noreferrer", target: "_blank" }, "runbook") : null;
}
