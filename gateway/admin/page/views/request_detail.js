// One request that is over: why it went where it went, what was tried, and what would become of it now.

import { el, number, pairs, row, table } from "../dom.js";
import { count, instant, milliseconds } from "../format.js";
import { explanation } from "./explanation.js";

// What `explain` is asked about a request that is over.
export function likeIt(request) {
  const host = request.host ? `http://${request.host}` : "";
  return { method: request.method, url: host + request.original_path, client: request.client };
}

export function requestDetail(request, explained, go) {
  return el("div", { class: "columns" },
    el("section", { "aria-label": "The request" },
      el("h3", {}, "The request"),
      pairs([
        ["id", request.request_id], ["at", instant(request.at)], ["client", request.client], ["consumer", request.consumer],
        ["path of the route", request.path === request.original_path ? null : request.path], ["sent", request.sent],
        ["route", request.route], ["service", request.upstream], ["error", request.error],
        ["cache", request.cache], ["bytes", `${count(request.bytes_in)} in, ${count(request.bytes_out)} out`],
      ])),
    el("section", { "aria-label": "Attempts" },
      el("h3", {}, "Attempts"),
      request.attempts.length ? attempts(request.attempts) : el("p", { class: "quiet" }, "None: it was not forwarded."),
      request.model ? lines("Model", modelLines(request.model, request.cache === "hit")) : null,
      lines("Decisions", request.decisions), lines("Limits", request.limits)),
    el("section", { "aria-label": "Result with the current configuration" },
      el("h3", {}, "The same request now"),
      el("p", { class: "quiet" }, "Asked without headers and query, which are not kept."),
      explanation(explained),
      el("p", {}, el("button", { type: "button", on: { click: () => go("explain", likeIt(request)) } }, "More options"))));
}

function modelLines(model, cached) {
  const backend = model.backend ?? "no provider was asked";
  const tokens = model.input_tokens === undefined ? null
    : `${count(model.input_tokens)} tokens in, ${count(model.output_tokens)} out${model.estimated ? " (estimated)" : ""}`;
  return [
    `${cached ? `answered from the cache, once by ${backend}` : backend}, profile ${model.profile || "–"} by ${model.rule === null ? "no rule" : `rule ${model.rule}`}`,
    model.candidates.length > 1 ? `candidates: ${model.candidates.join(", ")}` : null,
    ...model.left_out.map((each) => `left out: ${each.provider}: ${each.reason}`),
    ...model.switches.map((each) => `switched from ${each.from} to ${each.to}: ${each.reason}`),
    tokens, model.cost_usd ? `$${model.cost_usd.toFixed(6)}` : null,
    model.first_token ? `first token after ${milliseconds(model.first_token * 1000)}` : null,
  ].filter((line) => line !== null);
}

function attempts(tried) {
  const columns = [{ name: "No.", number: true }, "Endpoint", "Result", "In the queue for a connection", { name: "After", number: true }, "Next"];
  return table("Attempts", columns, tried.map((attempt, index) => row(
    number(String(index + 1)), attempt.endpoint, String(attempt.status ?? "") || attempt.error, attempt.queued_ms ? milliseconds(attempt.queued_ms) : "", number(milliseconds(attempt.ms)),
    attempt.why_next ? `tried again: ${attempt.why_next}` : attempt.why_not ? `none: ${attempt.why_not}` : "")));
}

function lines(title, texts) {
  return texts.length ? [el("h3", {}, title), el("ul", { class: "plain" }, texts.map((text) => el("li", {}, text)))] : null;
}
