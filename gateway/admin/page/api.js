// What the page asks of the admin API. Reading is done with the cookie, if there is one; changing anything needs a token
// that may write, which is asked for, and kept in the memory of this page only.

import { askForToken } from "./sign_in.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let writeToken = null;

// The answer of GET: {data, total, headers}. Raises ApiError.
export async function get(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") query.append(name, each);
    }
  }
  const text = query.toString();
  const answer = await fetch(text ? `${path}?${text}` : path, { headers: { accept: "application/json, text/plain" } });
  const data = await read(answer);
  if (!answer.ok) {
    if (answer.status === 401) document.dispatchEvent(new CustomEvent("signed-out"));
    throw new ApiError(answer.status, said(data, answer));
  }
  return { data, total: Number(answer.headers.get("x-total-count") ?? 0), headers: answer.headers };
}

// Changes something, with the token that may write. Answers null where the reader gave up. Raises ApiError.
export async function change(method, path, what, body = undefined) {
  let problem = "";
  for (;;) {
    writeToken ??= await askForToken(what, problem);
    if (writeToken === null) return null;
    const headers = { authorization: `Bearer ${writeToken}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit" });
    const data = await read(answer);
    if (answer.ok) return data;
    if (answer.status !== 401 && answer.status !== 403) throw new ApiError(answer.status, said(data, answer));
    writeToken = null;
    problem = said(data, answer);
  }
}

async function read(answer) {
  const type = answer.headers.get("content-type") ?? "";
  return type.startsWith("application/json") ? answer.json() : answer.text();
}

function said(data, answer) {
  if (data?.errors) return data.errors.join("\n");
  return data?.error ?? `the gateway answered ${answer.status}`;
}
