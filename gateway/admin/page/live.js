// The stream of events: one connection, which comes again by itself.

const AGAIN = 5000; // milliseconds, after a refusal

export class LiveEvents {
  // onEvent(name, content), onState("live" | "waiting" | "refused")
  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.source = null;
    this.filters = "";
  }

  // Begins anew with these filters: what fits of the last requests comes first.
  open(filters = {}) {
    this.close();
    const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
    this.filters = query.toString();
    this.source = new EventSource(this.filters ? `/events?${this.filters}` : "/events");
    const source = this.source;
    source.onopen = () => this.onState("live");
    source.onerror = () => this.lost(source, filters);
    for (const name of ["requests", "state"]) {
      source.addEventListener(name, (event) => this.onEvent(name, JSON.parse(event.data)));
    }
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  // An EventSource that was refused does not come again by itself.
  lost(source, filters) {
    if (source !== this.source) return;
    const refused = source.readyState === EventSource.CLOSED;
    this.onState(refused ? "refused" : "waiting");
    if (refused) this.timer = setTimeout(() => this.open(filters), AGAIN);
  }
}
