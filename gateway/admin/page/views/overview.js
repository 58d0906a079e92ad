// What is wrong now, how much there is to do, and what failed last: what to look at first.

import { el, fill, stateMark } from "../dom.js";
import { plural, rate, time } from "../format.js";
import { statusMark } from "./requests.js";

const FAILURES = 12;

export class OverviewView {
  id = "overview";
  title = "Overview";

  constructor({ go }) {
    this.go = go;
    this.failures = [];
    this.before = null;
    this.wrong = el("section", { class: "card wrong", "aria-labelledby": "wrong-title" });
    this.figures = el("section", { class: "figures", "aria-label": "Figures" });
    this.last = el("section", { class: "card", "aria-labelledby": "failures-title" });
    this.element = el("div", { class: "overview" }, this.figures, this.wrong, this.last);
    this.drawFailures();
  }

  on_state(state) {
    this.drawWrong(state);
    const now = performance.now() / 1000;
    const perSecond = this.before ? (state.requests - this.before.requests) / (now - this.before.now) : null;
    this.before = { requests: state.requests, now };
    fill(this.figures,
      figure("Requests/s", rate(perSecond)),
      ...["up", "degraded", "down"].map((name) => figure(`Services ${name}`, String(state.services[name]), name)));
  }

  drawWrong({ problems, more_problems: more, services }) {
    const text = JSON.stringify([problems, more, services]);
    if (text === this.said) return;
    this.said = text;
    const total = services.up + services.degraded + services.down;
    fill(this.wrong, el("h3", { id: "wrong-title" }, problems.length ? `Wrong now (${problems.length + more})` : "Nothing is wrong"),
      problems.length ? el("ul", { class: "plain problems" }, problems.map((each) => el("li", {},
        stateMark(each.state), " ", el("a", { href: `#${each.view}?${new URLSearchParams({ search: each.name })}` }, each.text))))
        : el("p", {}, stateMark("up", `${plural(total, "service")} up, the configuration is that of the files`)),
      more ? el("p", { class: "quiet" }, `and ${more} more`) : null);
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
        el("time", {}, time(each.at)), " ", statusMark(each.status), " ",
        el("a", { href: `#requests?${new URLSearchParams({ text: each.request_id })}` }, `${each.method} ${each.original_path}`),
        el("span", { class: "quiet" }, ` ${each.route ?? "no route"} ${each.attempts.at(-1)?.endpoint ?? ""}`), " ", each.error ?? "")))
        : el("p", { class: "quiet" }, "None of the last requests failed."));
  }
}

function figure(name, value, state = null) {
  return el("div", { class: `figure ${state && value !== "0" ? state : ""}` }, el("span", { class: "value" }, value), el("span", { class: "quiet" }, name));
}
