// The two questions for a token: to read, where the port is not on a loopback address, and to change something.

import { el, field, fill } from "./dom.js";

const dialog = () => document.getElementById("dialog");

// Opens the form, until a user has signed in. Every view may call it repeatedly: what is typed stays.
export function signIn(onDone) {
  if (dialog().open) return;
  const problem = el("p", { class: "problem", role: "alert" });
  const form = tokenForm("Sign in", problem, async (token) => {
    const answer = await fetch("/session", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }),
    });
    if (answer.ok) {
      dialog().close();
      onDone();
    } else {
      problem.textContent = (await answer.json()).error;
    }
  });
  open("Sign in", [
    el("p", {}, "Reading needs a token here. A token that may read is enough; the session ends after 12 hours."),
    el("p", { class: "quiet" }, "gateway admin token new makes one, for admin.tokens of middleware.yaml."), form,
  ], (event) => event.preventDefault());
}

// The token that may write, or null.
export function askForToken(what, wrong) {
  return new Promise((resolve) => {
    let token = null;
    const problem = el("p", { class: "problem", role: "alert" }, wrong);
    const form = tokenForm(what, problem, (given) => {
      token = given;
      dialog().close();
    });
    form.querySelector(".buttons").append(
      el("button", { type: "button", on: { click: () => dialog().close() } }, "Cancel"));
    open(what, [
      el("p", {}, "This needs a token that may write. It is kept until this page is closed, and nowhere else."),
      el("p", { class: "quiet" }, "On the machine itself: the file admin-token in the state directory."), form,
    ], () => {});
    dialog().addEventListener("close", () => resolve(token), { once: true });
  });
}

// A question with yes and no.
export function confirm(question, explanation, yes) {
  return new Promise((resolve) => {
    let agreed = false;
    const agree = () => {
      agreed = true;
      dialog().close();
    };
    open(question, [el("p", {}, explanation), el("p", { class: "buttons" },
      el("button", { type: "button", class: "main", on: { click: agree } }, yes),
      el("button", { type: "button", on: { click: () => dialog().close() } }, "Cancel"))], () => {});
    dialog().addEventListener("close", () => resolve(agreed), { once: true });
  });
}

function tokenForm(label, problem, use) {
  const input = el("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const user = el("input", { class: "unseen", name: "username", autocomplete: "username", tabindex: "-1", value: "gateway" });
  return el("form", { on: { submit: (event) => {
    event.preventDefault();
    use(input.value.trim());
  } } }, user, field("Token", input), problem,
  el("p", { class: "buttons" }, el("button", { type: "submit", class: "main" }, label)));
}

function open(title, content, onCancel) {
  const box = dialog();
  fill(box, el("h2", { id: "dialog-title" }, title), content);
  box.setAttribute("aria-labelledby", "dialog-title");
  box.oncancel = onCancel;
  if (!box.open) box.showModal();
  (box.querySelector("input:not(.unseen)") ?? box.querySelector("button")).focus();
}
