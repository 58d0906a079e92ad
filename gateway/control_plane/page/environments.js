// Environments, with what is in force there and what is on its way.

import { change } from "./changing.js";
import { el, emptyRow, number, row, stateMark, table } from "./dom.js";
import { since } from "./format.js";
import { gatewayState, short } from "./states.js";

const STATES = { pending: "draining", running: "draining", paused: "degraded", done: "up", rolled_back: "down", failed: "down" };

export function environmentsTable(data, now) {
  const columns = ["Environment", { name: "Gateways", number: true }, { name: "Problems", number: true },
    { name: "Drifted", number: true }, "Revision", "Drift policy", "Rollout"];
  const rows = data.environments.map((environment) => {
    const here = data.gateways.filter((gateway) => gateway.environments.includes(environment.uuid));
    const wrong = here.filter((gateway) => ["down", "degraded"].includes(gatewayState(gateway, now).state)).length;
    const drifted = here.filter((gateway) => gateway.instances.some((instance) => instance.drifted)).length;
    return row(
      el("th", { scope: "row", title: environment.name }, environment.displayName),
      number(here.length), number(wrong, { class: wrong ? "bad" : "" }), number(drifted, { class: drifted ? "bad" : "" }),
      el("td", {}, el("code", { title: environment.revision }, short(environment.revision))),
      environment.driftPolicy,
      el("td", { class: "why" }, rollout(environment, here.length)),
    );
  });
  return table("Environments", columns, rows.length ? rows : [emptyRow(columns.length, "There is no environment yet.")],
    { class: "environments" });
}

function rollout(environment, members) {
  const found = environment.rollout;
  if (!found) return "none yet";
  const active = ["pending", "running", "paused"].includes(found.state);
  const where = active && found.state !== "pending" ? ` ${found.phase}, ${found.assigned} of ${members}` : "";
  return [
    stateMark(STATES[found.state] ?? "none", found.state.replace("_", " ")), " ",
    el("code", { title: found.revision }, short(found.revision)), where,
    el("span", { class: "quiet" }, ` by ${found.createdBy}, ${since(found.updatedAt)}`),
    found.reason ? el("div", {}, found.reason) : null,
    active ? el("div", { class: "buttons" }, steps(found).map(([verb, word]) => el("button", {
      type: "button", "data-key": `${found.uuid} ${verb}`, on: { click: () => steer(found, verb, word, environment) },
    }, word))) : null,
  ];
}

function steps(found) {
  const own = { pending: [["approve", "Approve"]], running: [["pause", "Pause"]], paused: [["resume", "Go on"]] };
  return [...own[found.state], ["abort", "Abort"]];
}

async function steer(found, verb, word, environment) {
  const what = `${word} the rollout of ${short(found.revision)} to ${environment.displayName}`;
  const problem = await change("POST", `/api/v1/rollouts/${found.uuid}/${verb}`, what);
  document.dispatchEvent(new CustomEvent("changed", { detail: problem }));
}
