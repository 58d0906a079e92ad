// Changing something takes a token that may: it is asked for, and kept in the memory of this page only.

import { askForToken } from "./sign_in.js";

let token = null;

// Answers why it was not done; null where it was, or where the reader gave up.
export async function change(method, path, what) {
  let problem = "";
  for (;;) {
    token ??= await askForToken(what, problem);
    if (token === null) return null;
    const answer = await fetch(path, { method, headers: { authorization: `Bearer ${token}` }, credentials: "omit" });
    if (answer.ok) return null;
    problem = (await answer.json()).detail ?? `the control plane answered ${answer.status}`;
    if (answer.status !== 401 && answer.status !== 403) return problem;
    token = null;
  }
}
