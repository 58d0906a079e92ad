// How a gateway is, in one word, from what it was probed and what it says of itself. Both stay apart: see matrix.js.

import { ago } from "./format.js";

export const seconds = (text) => new Date(text).getTime() / 1000;

export const short = (digest) => (digest ? digest.slice(0, 8) : "–");

const RANK = { down: 0, degraded: 1, draining: 2, none: 3, up: 4 };

// {state, problems: [sentence]}
export function gatewayState(gateway, now) {
  const problems = [];
  if (gateway.status === "ERROR") problems.push(["down", gateway.errorMessage ?? "probes fail"]);
  else if (gateway.errorMessage) problems.push(["degraded", gateway.errorMessage]);
  if (gateway.heartbeatFresh === false) problems.push(["down", `silent: ${lastHeard(gateway, now)}`]);
  for (const instance of gateway.instances) {
    const error = instance.report.lastError;
    if (error) problems.push(["degraded", `${instance.id}: ${place(error)}${error.message}`]);
    if (instance.drifted) problems.push(["degraded", `${instance.id} runs ${short(instance.revision)}, not ${short(gateway.wanted)}`]);
    if (!instance.fresh && gateway.heartbeatFresh) problems.push(["degraded", `${instance.id} is silent`]);
  }
  const usual = { ACTIVE: "up", PROVISIONING: "draining", INACTIVE: "none", ERROR: "down" }[gateway.status] ?? "none";
  const states = [usual, ...problems.map(([state]) => state)].sort((a, b) => RANK[a] - RANK[b]);
  return { state: states[0], problems: problems.map(([, text]) => text) };
}

export function place(error) {
  return error.file ? `${error.file}${error.line ? `:${error.line}:${error.column ?? 1}` : ""}: ` : "";
}

export function lastHeard(gateway, now) {
  const last = Math.max(...gateway.instances.map((instance) => seconds(instance.lastHeartbeat)));
  return Number.isFinite(last) ? `heard ${ago(now - last)}` : "never heard";
}

// What is wrong goes first; the rest by name.
export function sorted(gateways, now) {
  return gateways
    .map((gateway) => [RANK[gatewayState(gateway, now).state], gateway])
    .sort(([one, a], [other, b]) => one - other || a.name.localeCompare(b.name))
    .map(([, gateway]) => gateway);
}

// The revisions that run: one, or several while a rollout goes on.
export function running(gateway) {
  return [...new Set(gateway.instances.filter((each) => each.fresh).map((each) => each.revision))];
}
