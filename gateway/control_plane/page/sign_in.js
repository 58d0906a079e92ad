// The two questions for a credential: to read, in exchange for a cookie; and to change something.

import { el, field, fill } from "./dom.js";

const dialog = () => document.getElementById("dialog");

// Opens the form, until a user has signed in. Calling it again keeps what is typed.
export function signIn(onDone) {
  if (dialog().open) return;
  const problem = el("p", { class: "problem", role: "alert" });
  const user = el("input", { name: "username", autocomplete: "username" });
  const token = el("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const submit = async (event) => {
    event.preventDefault();
    const body = user.value ? { username: user.value, password: token.value } : { token: token.value.trim() };
    const answer = await fetch("/session", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) {
      dialog().close();
      onDone();
    } else {
      problem.textContent = (await answer.json()).detail;
    }
  };
  const form = el("form", { on: { submit } }, field("Token or key", token), field("User name, with a password", user), problem,
    el("p", { class: "buttons" }, el("button", { type: "submit", class: "main" }, "Sign in")));
  open("Sign in", [
    el("p", {}, "A key or a token that may read is enough; the session ends after 12 hours, and changes nothing."),
    el("p", { class: "quiet" }, "On the machine itself, without an auth.yaml: the file control-plane-token in the state directory."),
    form,
  ], (event) => event.preventDefault());
}

// The token that may do this, or null.
export function askForToken(what, wrong) {
  return new Promise((resolve) => {
    let token = null;
    const input = el("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
    const submit = (event) => {
      event.preventDefault();
      token = input.value.trim();
      dialog().close();
    };
    open(what, [
      el("p", {}, "This needs a token whose role allows it. It is kept until this page is closed, and nowhere else."),
      el("form", { on: { submit } }, field("Token or key", input),
        el("p", { class: "problem", role: "alert" }, wrong),
        el("p", { class: "buttons" }, el("button", { type: "submit", class: "main" }, what),
          el("button", { type: "button", on: { click: () => dialog().close() } }, "Cancel"))),
    ], () => {});
    dialog().addEventListener("close", () => resolve(token), { once: true });
  });
}

function open(title, content, onCancel) {
  const box = dialog();
  fill(box, el("h2", { id: "dialog-title" }, title), content);
  box.setAttribute("aria-labelledby", "dialog-title");
  box.oncancel = onCancel;
  if (!box.open) box.showModal();
  box.querySelector("input").focus();
}
