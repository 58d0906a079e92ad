// The configurations that were served, what changed between them, and the way back.

import { change, get } from "../api.js";
import { el, emptyRow, fill, fillRows, number, table } from "../dom.js";
import { count, instant, since } from "../format.js";
import { confirm } from "../sign_in.js";

const COLUMNS = ["From", "To", "Configuration", "Served since", "Because of", { name: "Bytes", number: true }, ""];
const CAUSES = { start: "the start", files: "a change of the files", request: "a request", rollback: "a roll-back" };

export class ConfigurationView {
  id = "configuration";
  title = "Configuration";
  titled = true;

  constructor() {
    this.state = el("div", { role: "status" });
    this.body = el("tbody");
    const shown = table("Former configurations", COLUMNS, this.body);
    this.difference = el("div", { "aria-live": "polite" });
    this.element = el("div", {}, this.state, shown, this.difference);
    this.versions = [];
    this.from = null;
    this.to = null;
  }

  on_state({ configuration }) {
    const { errors, rolled_back: rolledBack } = configuration;
    const reload = el("button", { type: "button", on: { click: () => this.reload() } }, "Read the files again");
    const text = JSON.stringify([errors, rolledBack]);
    if (text === this.said) return;
    this.said = text;
    fill(this.state,
      rolledBack ? el("p", { class: "problem" }, "Rolled back: what is served differs from the files, until they change or are read again.") : null,
      errors.length ? [el("p", { class: "problem" }, "The files are refused, so the last good configuration is served:"),
        el("ul", { class: "plain problem" }, errors.map((error) => el("li", {}, error)))] : null,
      el("p", {}, reload));
  }

  async refresh() {
    const { data } = await get("/config/history");
    const known = JSON.stringify(data.versions);
    if (known === this.known) return;
    this.known = known;
    this.versions = data.versions;
    this.to = this.versions[0]?.digest ?? null;
    this.from = this.versions.find((each) => each.digest !== this.to)?.digest ?? this.to;
    this.draw();
    await this.compare();
  }

  draw() {
    fillRows(this.body, this.versions.length ? this.versions.map((version, index) => this.row(version, index))
      : emptyRow(COLUMNS.length, "No former configurations yet."));
  }

  row(version, index) {
    const inForce = version.digest === this.versions[0].digest;
    return el("tr", {},
      el("td", {}, this.choice("from", version, index)), el("td", {}, this.choice("to", version, index)),
      el("th", { scope: "row" }, el("code", {}, version.digest), index === 0 ? el("span", { class: "tag" }, "in force") : null),
      el("td", {}, instant(version.loaded_at), el("span", { class: "quiet" }, ` ${since(version.loaded_at)}`)),
      el("td", {}, CAUSES[version.cause] ?? version.cause), number(count(version.bytes)),
      el("td", {}, inForce ? null : el("button", { type: "button", on: { click: () => this.rollBack(version) } }, "Serve again")));
  }

  choice(end, version, index) {
    return el("input", {
      type: "radio", name: `compare-${end}`, "aria-label": `${end === "from" ? "Compare from" : "Compare to"} ${version.digest}`,
      "data-key": `${end}-${index}`, checked: this[end] === version.digest && index === this.versions.findIndex((each) => each.digest === version.digest),
      on: { change: () => { this[end] = version.digest; this.compare(); } },
    });
  }

  async compare() {
    if (this.from === null) return;
    const { data } = await get("/config/diff", { from: this.from, to: this.to });
    const lines = data.split("\n").map((line) => el("span", { class: kindOf(line) }, `${line}\n`));
    fill(this.difference, el("h3", {}, `From ${this.from.slice(0, 12)} to ${this.to.slice(0, 12)}`),
      data.trim() ? el("pre", { class: "diff", tabindex: "0", "aria-label": "Changes" }, lines)
        : el("p", { class: "quiet" }, "The files are the same."));
  }

  async rollBack(version) {
    const name = version.digest.slice(0, 12);
    const agreed = await confirm(`Serve ${name} again?`, "At once, in place of the files, until these change or are "
      + "read again. Requests in flight end with the configuration that they began with.", "Serve it");
    if (agreed) await this.change("POST", `/config/rollback?to=${encodeURIComponent(version.digest)}`, `Serve ${name} again`);
  }

  async reload() {
    await this.change("POST", "/reload", "Read the files again");
  }

  async change(method, path, what) {
    try {
      await change(method, path, what);
      this.known = null;
      await this.refresh();
    } catch (error) {
      fill(this.difference, el("p", { class: "problem", role: "alert" }, error.message));
    }
  }
}

function kindOf(line) {
  if (line.startsWith("+++") || line.startsWith("---") || line.startsWith("@@")) return "place";
  return line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "same";
}
