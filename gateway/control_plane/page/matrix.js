// Gateways beside environments: health by probe and by heartbeat, and in each environment what runs there.

import { el, emptyRow, field, fill, fillRows, number, opener, pairs, row, stateMark, table } from "./dom.js";
import { ago, count, milliseconds, rate } from "./format.js";
import { gatewayState, place, running, seconds, short } from "./states.js";

const MOST = 300; // rows at once

export class Matrix {
  constructor() {
    this.open = new Set();
    this.changes = new Map(); // of gateways that run something else than wanted
    this.text = el("input", { type: "search", placeholder: "name or region" });
    this.only = el("input", { type: "checkbox" });
    this.more = el("p", { class: "quiet" });
    this.body = el("tbody", {});
    this.holder = el("div", {});
    this.columns = "";
    for (const control of [this.text, this.only]) control.addEventListener("input", () => this.draw());
    this.element = el("div", {},
      el("div", { class: "filters" }, field("Find", this.text), field("Only with problems", this.only), this.more),
      this.holder);
  }

  show(data, now) {
    this.data = data;
    this.now = now;
    this.draw();
  }

  draw() {
    if (!this.data) return;
    const { environments, gateways } = this.data;
    const names = ["", "Gateway", "Health", ...environments.map((environment) => environment.displayName)];
    if (this.columns !== names.join("\n")) {
      this.columns = names.join("\n");
      const columns = names.map((name, index) => (index === 0 ? el("span", { class: "unseen" }, "Details") : name));
      fill(this.holder, table("Gateways and environments", columns.map((name) => ({ name })), this.body, { class: "matrix" }));
    }
    const found = gateways.filter((gateway) => this.matches(gateway));
    fill(this.more, found.length > MOST ? `${MOST} of ${found.length} shown` : "");
    const rows = found.slice(0, MOST).flatMap((gateway) => this.rows(gateway, environments));
    const nothing = gateways.length ? "No gateway matches." : "There is no gateway yet.";
    fillRows(this.body, rows.length ? rows : [emptyRow(names.length, nothing)]);
  }

  matches(gateway) {
    const text = this.text.value.trim().toLowerCase();
    const words = [gateway.name, gateway.displayName, gateway.region ?? ""].join("\n").toLowerCase();
    const { state } = gatewayState(gateway, this.now);
    return words.includes(text) && (!this.only.checked || state === "down" || state === "degraded");
  }

  rows(gateway, environments) {
    const isOpen = this.open.has(gateway.uuid);
    const toggle = () => {
      isOpen ? this.open.delete(gateway.uuid) : this.open.add(gateway.uuid);
      this.draw();
      if (!isOpen) this.compare(gateway);
    };
    const shown = row(
      opener(gateway.uuid, isOpen, gateway.name, toggle),
      el("th", { scope: "row", title: gateway.displayName }, gateway.name,
        el("small", {}, [gateway.type, gateway.region].filter(Boolean).join(", "))),
      this.health(gateway),
      ...environments.map((environment) => this.cell(gateway, environment)),
    );
    return isOpen ? [shown, this.detail(gateway, environments.length + 3)] : [shown];
  }

  health(gateway) {
    const { state } = gatewayState(gateway, this.now);
    const probe = gateway.checkedAt === null ? null
      : gateway.errorMessage ? "probe failed" : `probe ${milliseconds(gateway.responseMs)}`;
    const heard = gateway.heartbeatFresh === null ? null : gateway.heartbeatFresh ? "heartbeat" : "no heartbeat";
    const word = gateway.status === "ACTIVE" && gateway.heartbeatFresh === false ? "SILENT" : gateway.status;
    return el("td", {}, stateMark(state, word),
      el("small", {}, [probe, heard].filter(Boolean).join(", ") || "not looked at yet"));
  }

  cell(gateway, environment) {
    if (!gateway.environments.includes(environment.uuid)) {
      return el("td", { class: "away" }, el("span", { "aria-hidden": "true" }, "–"), el("span", { class: "unseen" }, "not in it"));
    }
    const revisions = running(gateway);
    const wanted = gateway.wanted;
    if (!revisions.length) {
      const last = gateway.instances.map((instance) => instance.revision).find(Boolean);
      return el("td", {}, last ? el("code", { class: "quiet", title: last }, short(last)) : null,
        el("small", {}, last ? "when last heard" : "runs nothing that is known"));
    }
    const drifted = gateway.instances.some((instance) => instance.drifted);
    const same = revisions.every((revision) => revision === wanted);
    const word = drifted ? stateMark("degraded", "drift") : wanted === null ? null
      : same ? stateMark("up", "as wanted") : stateMark("draining", `to ${short(wanted)}`);
    return el("td", {}, el("code", { title: revisions.join(" ") }, revisions.map(short).join(", ")), el("small", {}, word));
  }

  detail(gateway, columns) {
    const { problems } = gatewayState(gateway, this.now);
    return el("tr", { class: "detail" }, el("td", { colspan: columns },
      problems.length ? el("ul", { class: "plain problem" }, problems.map((text) => el("li", {}, text))) : null,
      pairs([
        ["Name", gateway.displayName], ["Endpoint", gateway.endpoint], ["Id", el("code", {}, gateway.uuid)],
        ["Probed", gateway.checkedAt === null ? null : ago(this.now - seconds(gateway.checkedAt))],
        ["Wanted", gateway.wanted === null ? "nothing is said" : el("code", {}, gateway.wanted)],
      ]),
      gateway.instances.length ? this.instances(gateway) : el("p", { class: "quiet" }, "No instance sends heartbeats."),
      this.difference(gateway)));
  }

  // Asks what is different between what runs and what is wanted.
  async compare(gateway) {
    this.changes.delete(gateway.uuid);
    if (!gateway.instances.some((instance) => instance.drifted)) return;
    const answer = await fetch(`/api/v1/gateways/${gateway.uuid}/drift`);
    if (!answer.ok) return;
    const found = await answer.json();
    this.changes.set(gateway.uuid, found.known ? found.changes : null);
    this.draw();
  }

  difference(gateway) {
    if (!this.changes.has(gateway.uuid)) return null;
    const changes = this.changes.get(gateway.uuid);
    if (changes === null) return el("p", { class: "quiet" }, "Its files are not known yet, so they cannot be compared.");
    return table(`What ${gateway.name} runs beside what is wanted`, ["File", "Where", "What", "Wanted", "Runs"],
      changes.map((each) => row(each.file, el("td", { class: "path" }, each.where), each.kind, each.before ?? "", each.after ?? "")));
  }

  instances(gateway) {
    const columns = ["Instance", "Version", "Heard", "Revision", "From", { name: "Requests/s", number: true },
      { name: "Errors", number: true }, { name: "p95", number: true }, { name: "Endpoints", number: true }, "Last error"];
    return table(`Instances of ${gateway.name}`, columns, gateway.instances.map((instance) => {
      const report = instance.report;
      const error = report.lastError;
      return row(
        el("th", { scope: "row" }, instance.id), report.version ?? "", ago(this.now - seconds(instance.lastHeartbeat)),
        el("td", {}, el("code", { title: instance.revision }, short(instance.revision)), instance.drifted ? stateMark("degraded", "drift") : null),
        instance.source ?? "", number(rate(report.requestRate)),
        number(typeof report.errorRate === "number" ? `${report.errorRate.toFixed(1)}%` : "–"),
        number(milliseconds(report.p95Ms)), number(`${count(report.endpointsUp)} / ${count(report.endpointsTotal)}`),
        el("td", { class: "why" }, error ? `${place(error)}${error.message}` : ""),
      );
    }));
  }
}
