// The frame: views behind tabs, what is wrong in the bar, and the stream of events that all views share.

import { get } from "./api.js";
import { el, fill, stateMark } from "./dom.js";
import { ago, plural } from "./format.js";
import { LiveEvents } from "./live.js";
import { signIn } from "./sign_in.js";
import { AlertsView } from "./views/alerts.js";
import { ConfigurationView } from "./views/configuration.js";
import { ExplainView } from "./views/explain.js";
import { LimitsView } from "./views/limits.js";
import { MapView } from "./views/map.js";
import { ModelsView } from "./views/models.js";
import { OverviewView } from "./views/overview.js";
import { RequestsView } from "./views/requests.js";
import { TrafficView } from "./views/traffic.js";

const AGAIN = 5000; // milliseconds between two looks of a view that is shown
const WORDS = { live: "live", waiting: "connecting again", refused: "not connected" };

const live = new LiveEvents(onEvent, onConnection);
const views = [OverviewView, MapView, TrafficView, RequestsView, ExplainView, ModelsView, LimitsView, AlertsView, ConfigurationView]
  .map((View) => new View({ live, go }));
const byId = (id) => document.getElementById(id);
let current = null;
let failed = false;

// Where a view leads: go("requests", {status: "5xx"}).
export function go(id, parameters = {}) {
  location.hash = `#${id}?${new URLSearchParams(parameters)}`;
}

function begin() {
  fill(byId("tabs"), views.map((view) => el("li", { hidden: view.hidden },
    el("a", { href: `#${view.id}`, id: `tab-${view.id}` }, view.title))));
  byId("main").append(...views.map((view) => el("section", {
    id: view.id, hidden: true, "aria-labelledby": `${view.id}-title`,
  }, el("h2", { id: `${view.id}-title`, class: view.titled ? null : "unseen" }, view.title), view.element)));
  addEventListener("hashchange", route);
  document.addEventListener("signed-out", () => signIn(restart), { once: false });
  document.addEventListener("keydown", onKey);
  setInterval(refresh, AGAIN);
  restart();
}

async function restart() {
  await showSession();
  live.open();
  route();
}

function route() {
  const [id, query] = location.hash.slice(1).split("?");
  const next = views.find((view) => view.id === id) ?? views[0];
  if (next !== current) {
    current?.hide?.();
    for (const view of views) {
      const shown = view === next;
      byId(view.id).hidden = !shown;
      shown ? byId(`tab-${view.id}`).setAttribute("aria-current", "page")
        : byId(`tab-${view.id}`).removeAttribute("aria-current");
    }
    if (current) byId("main").focus({ preventScroll: true });
    current = next;
    document.title = `${next.title} – Gateway`;
    scrollTo(0, 0);
  }
  current.show?.(Object.fromEntries(new URLSearchParams(query)));
  refresh();
}

async function refresh() {
  if (document.hidden || current === null) return;
  try {
    await current.refresh?.();
    if (failed) say("");
    failed = false;
  } catch (error) {
    failed = true;
    if (error.status !== 401) say(error.status ? error.message : "The gateway does not answer.");
  }
}

function onEvent(name, content) {
  if (name === "state") {
    showState(content);
    showTab("traffic", content.minute !== null);
    showTab("alerts", content.alerts !== null);
    showTab("models", content.models);
  }
  for (const view of views) view[`on_${name}`]?.(content);
}

function showTab(id, shown) {
  views.find((view) => view.id === id).hidden = !shown;
  byId(`tab-${id}`).parentElement.hidden = !shown;
}

function showState(state) {
  const { configuration, problems } = state;
  const wrong = problems.length + state.more_problems;
  const worst = problems[0]?.state ?? "up";
  fill(byId("verdict"), stateMark(worst, wrong ? plural(wrong, "problem") : "All well"));
  fill(byId("configuration-in-force"), configuration.digest === null ? "no configuration"
    : [el("span", {}, `configuration ${configuration.digest.slice(0, 8)}`), configuration.rolled_back
      ? el("strong", {}, " rolled back, files differ") : ` loaded ${ago(Date.now() / 1000 - configuration.loaded_at)}`]);
}

function onConnection(state) {
  fill(byId("connection"), el("span", { class: `light ${state}`, "aria-hidden": "true" }, state === "live" ? "●" : "○"),
    ` ${WORDS[state]}`);
  if (state === "refused") get("/session").then(({ data }) => data.may_read || signIn(restart)).catch(() => {});
}

async function showSession() {
  const { data } = await get("/session");
  fill(byId("session"), data.signed_in
    ? el("button", { type: "button", on: { click: signOut } }, `Sign out ${data.name}`) : null);
}

async function signOut() {
  await fetch("/session", { method: "DELETE" });
  location.reload();
}

function say(text) {
  fill(byId("messages"), text ? el("p", { class: "problem" }, text) : null);
}

// 1 to 9: the views; "/": the search of the view.
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const shown = views.filter((view) => !view.hidden);
  const view = shown[Number(event.key) - 1];
  if (view) go(view.id);
  const search = event.key === "/" && document.querySelector("section:not([hidden]) input[type=search]");
  if (search) {
    event.preventDefault();
    search.focus();
  }
}

begin();
