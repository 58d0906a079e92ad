// The frame: asks for all that there is to see, again and again, and hands it to the two tables.

import { el, fill, stateMark } from "./dom.js";
import { plural } from "./format.js";
import { environmentsTable } from "./environments.js";
import { Matrix } from "./matrix.js";
import { signIn } from "./sign_in.js";
import { gatewayState, seconds, sorted } from "./states.js";

const AGAIN = 5000; // milliseconds between two looks
const AGAIN_LARGE = 15000; // the same, where there are many gateways
const LARGE = 200;

const byId = (id) => document.getElementById(id);
const matrix = new Matrix();
const places = el("div", {});
let timer = null;

function begin() {
  byId("main").append(
    el("section", { "aria-labelledby": "environments-title" },
      el("h2", { id: "environments-title" }, "Environments"), places),
    el("section", { "aria-labelledby": "gateways-title" },
      el("h2", { id: "gateways-title" }, "Gateways"), matrix.element),
  );
  document.addEventListener("visibilitychange", () => document.hidden || look());
  document.addEventListener("changed", async (event) => {
    await look();
    if (event.detail) say(event.detail);
  });
  restart();
}

async function restart() {
  await showSession();
  await look();
}

async function look() {
  clearTimeout(timer);
  let wait = AGAIN;
  if (!document.hidden) {
    try {
      const answer = await fetch("/api/v1/overview", { headers: { accept: "application/json" } });
      const data = await answer.json();
      if (answer.ok) {
        show(data);
        wait = data.gateways.length > LARGE ? AGAIN_LARGE : AGAIN;
      } else {
        refused(answer.status, data);
      }
    } catch {
      connection("waiting", "connecting again");
      say("The control plane does not answer. The gateways keep their configuration.");
    }
  }
  clearTimeout(timer);
  timer = setTimeout(look, wait);
}

function refused(status, data) {
  connection("refused", status === 401 ? "not signed in" : "not connected");
  if (status === 401) signIn(restart);
  else say(data.detail ?? `the control plane answered ${status}`);
}

function show(data) {
  const now = seconds(data.at);
  connection("live", "live");
  say("");
  const states = data.gateways.map((gateway) => gatewayState(gateway, now).state);
  const wrong = states.filter((state) => state === "down" || state === "degraded").length;
  const worst = states.includes("down") ? "down" : wrong ? "degraded" : "up";
  fill(byId("verdict"), stateMark(worst, wrong ? `${plural(wrong, "gateway")} with problems` : "All well"));
  fill(byId("counts"), `${plural(data.total, "gateway")} in ${plural(data.environments.length, "environment")}`);
  const focused = places.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  fill(places, environmentsTable(data, now));
  if (focused) [...places.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused)?.focus();
  matrix.show({ ...data, gateways: sorted(data.gateways, now) }, now);
}

function connection(state, word) {
  fill(byId("connection"), el("span", { class: `light ${state}`, "aria-hidden": "true" }, state === "live" ? "●" : "○"),
    ` ${word}`);
}

async function showSession() {
  const answer = await fetch("/session");
  const data = await answer.json();
  fill(byId("session"), data.signedIn
    ? el("button", { type: "button", on: { click: signOut } }, `Sign out ${data.name}`) : null);
}

async function signOut() {
  await fetch("/session", { method: "DELETE" });
  location.reload();
}

function say(text) {
  fill(byId("messages"), text ? el("p", { class: "problem" }, text) : null);
}

begin();
