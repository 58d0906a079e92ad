// Numbers and times as people read them.

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });

// Unix seconds, as a time of day.
export const clock = (seconds, exact = false) => (exact ? TIME : CLOCK).format(seconds * 1000);
export const time = (text) => TIME.format(new Date(text));
export const instant = (text) => DAY.format(new Date(text));

export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return String(Math.round(value));
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value === 0 ? "0" : value >= 1000 ? count(value) : value >= 10 ? value.toFixed(0) : value.toFixed(1);
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value >= 10000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${value.toFixed(0)} ms` : value >= 10 ? `${value.toFixed(1)} ms` : `${value.toFixed(2)} ms`;
}

export function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = share * 100;
  return value === 0 ? "0%" : value < 0.1 ? "<0.1%" : value < 10 ? `${value.toFixed(1)}%` : `${value.toFixed(0)}%`;
}

export function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export const since = (text) => ago((Date.now() - new Date(text).getTime()) / 1000);

export const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;
