// The last requests, live, with filters. Each opens to what was decided about it, and what was tried.

import { get } from "../api.js";
import { el, emptyRow, field, fill, fillRows, number, opener, table } from "../dom.js";
import { count, milliseconds, time } from "../format.js";
import { likeIt, requestDetail } from "./request_detail.js";

const MOST = 200; // rows
const COLUMNS = ["", "Time", "Status", "Method", "Path", "Route", "Endpoint", "Caller", { name: "Took", number: true }, "Note"];
const FILTERS = { route: "Route", upstream: "Service", status: "Status", consumer: "Consumer", text: "Text" };
const HINTS = { status: "5xx, 404, 401,403", text: "path, address, id, error" };

export class RequestsView {
  id = "requests";
  title = "Requests";

  constructor({ live, go }) {
    this.live = live;
    this.go = go;
    this.requests = [];
    this.held = []; // while paused
    this.missed = 0;
    this.open = new Map(); // id -> the row below
    this.filters = "";
    this.inputs = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, el("input", {
      type: name === "text" ? "search" : "text", name, placeholder: HINTS[name], autocomplete: "off", spellcheck: "false",
    })]));
    this.pause = el("button", { type: "button", "aria-pressed": "false", on: { click: () => this.togglePause() } }, "Pause");
    this.counts = el("p", { class: "quiet", "aria-live": "off" });
    this.body = el("tbody");
    const shown = table("The last requests, the newest first", COLUMNS, this.body, { class: "requests cards" });
    const form = el("form", { class: "filters", role: "search", on: {
      submit: (event) => { event.preventDefault(); this.apply(); },
      input: () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.apply(), 400); },
    } }, Object.entries(FILTERS).map(([name, label]) => field(label, this.inputs[name])), this.pause,
    el("button", { type: "button", on: { click: () => this.go("requests") } }, "Clear"));
    this.element = el("div", {}, form, this.counts, shown);
  }

  show(parameters) {
    for (const [name, input] of Object.entries(this.inputs)) {
      if (document.activeElement !== input) input.value = parameters[name] ?? "";
    }
    const filters = new URLSearchParams(this.wanted()).toString();
    if (filters === this.filters) {
      this.draw(); // what came while another view was shown
      return;
    }
    this.filters = filters;
    this.requests = [];
    this.held = [];
    this.missed = 0;
    this.open.clear();
    this.live.open(this.wanted());
    this.draw();
  }

  // The stream is for all views: those want all requests.
  hide() {
    if (this.filters) {
      this.filters = "";
      this.requests = [];
      this.live.open();
    }
  }

  wanted() {
    return Object.fromEntries(Object.entries(this.inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value));
  }

  apply() {
    this.go("requests", this.wanted());
  }

  on_requests({ requests, missed }) {
    this.missed += missed;
    const newest = [...requests].reverse();
    const known = new Set(this.requests.slice(0, MOST).map((each) => each.request_id));
    const target = this.pause.getAttribute("aria-pressed") === "true" ? "held" : "requests";
    this[target] = [...newest.filter((each) => !known.has(each.request_id)), ...this[target]].slice(0, MOST);
    this.draw();
  }

  togglePause() {
    const pausing = this.pause.getAttribute("aria-pressed") !== "true";
    this.pause.setAttribute("aria-pressed", String(pausing));
    this.pause.textContent = pausing ? "Go on" : "Pause";
    if (!pausing) {
      this.requests = [...this.held, ...this.requests].slice(0, MOST);
      this.held = [];
    }
    this.draw();
  }

  draw() {
    if (this.element.closest("[hidden]")) return;
    const waiting = this.held.length ? `; ${this.held.length} new ones wait` : "";
    const missed = this.missed ? `; ${count(this.missed)} more came too fast to be shown` : "";
    fill(this.counts, `${this.requests.length} shown, the newest first${waiting}${missed}`);
    fillRows(this.body, this.requests.length ? this.requests.map((each) => this.rows(each))
      : emptyRow(COLUMNS.length, this.filters ? "No matching requests yet." : "No requests, yet."));
  }

  rows(each) {
    const isOpen = this.open.has(each.request_id);
    const main = el("tr", { class: statusClass(each.status) },
      el("td", {}, opener(each.request_id, isOpen, `Request ${each.request_id}`, () => this.toggle(each))),
      el("td", {}, el("time", { datetime: each.at }, time(each.at))),
      el("td", {}, statusMark(each.status)),
      el("td", {}, each.method),
      el("td", { class: "path clip", title: each.original_path }, namedHost(each.host), each.original_path),
      el("td", {}, each.route ?? "–"),
      el("td", {}, each.attempts.at(-1)?.endpoint ?? (each.cache ? `cache: ${each.cache}` : "–"),
        each.attempts.length > 1 ? el("span", { class: "tag" }, `${each.attempts.length} attempts`) : null),
      el("td", { class: "name" }, each.consumer ?? each.client),
      number(milliseconds(each.ms)),
      el("td", { class: "why clip", title: each.error }, each.error ?? ""));
    return isOpen ? [main, this.open.get(each.request_id)] : [main];
  }

  async toggle(each) {
    if (this.open.delete(each.request_id)) {
      this.draw();
      return;
    }
    const cell = el("td", { colspan: COLUMNS.length }, "…");
    this.open.set(each.request_id, el("tr", { class: "detail" }, cell));
    this.draw();
    try {
      const { data } = await get("/explain", likeIt(each));
      fill(cell, requestDetail(each, data, this.go));
    } catch (error) {
      fill(cell, requestDetail(each, { result: error.message }, this.go));
    }
  }
}

// A host that is only an address says nothing.
function namedHost(host) {
  return host && !/^([0-9.]+|\[.*\]|localhost)(:[0-9]+)?$/.test(host) ? el("span", { class: "quiet" }, host) : null;
}

export const statusClass = (status) => (status >= 500 ? "failed" : status >= 400 ? "refused" : null);

export function statusMark(status) {
  const kind = status >= 500 ? "down" : status >= 400 ? "degraded" : status ? "up" : "none";
  return el("span", { class: `status ${kind}` }, String(status || "–"));
}
