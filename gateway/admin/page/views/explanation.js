// What `explain` says, for people.

import { el, pairs, row, stateMark, table } from "../dom.js";

const STATES = { forwarded: "up", redirected: "up", answered: "up", refused: "down", "no route": "down", undecided: "degraded" };

export function explanation(told) {
  return el("div", { class: "explanation" },
    el("p", {}, told.outcome ? stateMark(STATES[told.outcome] ?? "none", told.outcome) : null, " ", told.verdict ?? told.result),
    pairs([
      ["route", told.verdict ? told.result : null], ["group", told.group], ["why", told.why], ["path", told.path],
      ["sent", told.sent], ["timeouts", told.timeouts],
      ["parameters", Object.entries(told.parameters ?? {}).map(([name, value]) => `${name}=${value}`).join(", ")],
    ]),
    list("What the policies say", told.rules), list("About failures", told.resilience),
    list("Endpoints that it could go to", told.considered),
    told.lost?.length ? el("details", {}, el("summary", {}, "Routes that do not take it"),
      table("Routes that do not take it", ["Route", "Pattern", "Why"],
        told.lost.map((each) => row(each.route, each.pattern, each.why)))) : null,
    told.handlers?.length ? el("details", {}, el("summary", {}, "Handlers"), list(null, told.handlers)) : null);
}

function list(title, texts) {
  if (!texts?.length) return null;
  return [title ? el("h4", {}, title) : null, el("ul", { class: "plain" }, texts.map((text) => el("li", {}, text)))];
}
