// What `explain` says, for people.

import { el, pairs, row, stateMark, table } from "../dom.js";

const STATES = { forwarded: "up", redirected: "up", answered: "up", refused: "down", "no route": "down", undecided: "degraded" };

export function explanation(answer) {
  return el("div", { class: "explanation" },
    el("p", {}, answer.outcome ? stateMark(STATES[answer.outcome] ?? "none", answer.outcome) : null, " ", answer.verdict ?? answer.result),
    pairs([
      ["route", answer.verdict ? answer.result : null], ["group", answer.group], ["why", answer.why], ["path", answer.path],
      ["sent", answer.sent], ["timeouts", answer.timeouts],
      ["parameters", Object.entries(answer.parameters ?? {}).map(([name, value]) => `${name}=${value}`).join(", ")],
    ]),
    list("Decisions of policies", answer.rules), list("Resilience", answer.resilience),
    list("Candidate endpoints", answer.considered),
    answer.lost?.length ? el("details", {}, el("summary", {}, "Other routes"),
      table("Other routes", ["Route", "Path", "Why"],
        answer.lost.map((each) => row(each.route, each.path, each.why)))) : null,
    answer.handlers?.length ? el("details", {}, el("summary", {}, "Handlers"), list(null, answer.handlers)) : null);
}

function list(title, texts) {
  if (!texts?.length) return null;
  return [title ? el("h4", {}, title) : null, el("ul", { class: "plain" }, texts.map((text) => el("li", {}, text)))];
}
