// `gateway explain --running` as a form: what would become of a request, and why. Nothing is sent.

import { get } from "../api.js";
import { el, field, fill } from "../dom.js";
import { explanation } from "./explanation.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

export class ExplainView {
  id = "explain";
  title = "Explain";
  titled = true;

  constructor({ go }) {
    this.go = go;
    this.method = el("input", { list: "methods", value: "GET", size: "8", autocomplete: "off", spellcheck: "false" });
    this.url = el("input", { required: true, placeholder: "/v1/users, or http://host/v1/users", autocomplete: "off", spellcheck: "false" });
    this.headers = el("textarea", { rows: "3", placeholder: "Name: value, one on each line", spellcheck: "false" });
    this.client = el("input", { placeholder: "127.0.0.1", autocomplete: "off", spellcheck: "false" });
    this.body = el("textarea", { rows: "3", spellcheck: "false" });
    this.answer = el("div", { "aria-live": "polite" });
    this.element = el("div", { class: "columns" },
      el("form", { class: "stacked", on: { submit: (event) => { event.preventDefault(); this.ask(); } } },
        el("datalist", { id: "methods" }, METHODS.map((method) => el("option", { value: method }))),
        el("div", { class: "line" }, field("Method", this.method), field("Path or URL", this.url)),
        field("Headers", this.headers), field("Client's address", this.client), field("Body", this.body),
        el("p", {}, el("button", { class: "main", type: "submit" }, "Explain")),
        el("p", { class: "quiet" }, "Nothing is sent, counted or changed. A request with a credential is explained to "
          + "holders of a token only.")),
      this.answer);
  }

  show(parameters) {
    if (!parameters.url) return;
    this.method.value = parameters.method ?? "GET";
    this.url.value = parameters.url;
    this.client.value = parameters.client ?? "";
    this.ask();
  }

  async ask() {
    try {
      const { data } = await get("/explain", {
        method: this.method.value, url: this.url.value, client: this.client.value, body: this.body.value,
        header: this.headers.value.split("\n").filter((line) => line.trim()),
      });
      fill(this.answer, el("h3", {}, data.request), explanation(data));
    } catch (error) {
      fill(this.answer, el("p", { class: "problem" }, error.message));
    }
  }
}
