/** The state of things in the top bar: connection, latency, the worst of the feeds. */

import { formatAge, formatLatency } from "./format.js";
import { byId, setText } from "./frames.js";
import { say } from "./say.js";

/** @type {Record<string, string>} */
export const WORDS = {
  live: "Live", stale: "Stale", connecting: "Connecting", waiting: "Waiting", ended: "Ended",
  failed: "Failed", unknown: "Not reported",
};
/** @type {Record<string, "ok" | "warn" | "bad">} */
const TONES = {
  live: "ok", ended: "ok", connecting: "warn", waiting: "warn", stale: "warn", failed: "bad",
  unknown: "warn",
};

/** Shows the stream's state; counts down to the next attempt. */
export class ConnectionChip {
  #chip = byId("connection");
  #label = byId("connection-label");
  #retry = byId("retry");
  /** @type {import("./stream.js").StreamState | null} */
  #state = null;

  /** @param {() => void} onRetry */
  constructor(onRetry) {
    this.#retry.addEventListener("click", onRetry);
  }

  /** @param {import("./stream.js").StreamState} state */
  show(state) {
    const before = this.#state?.phase;
    this.#state = state;
    this.#chip.dataset.phase = state.phase;
    this.tick();
    if (state.phase === before) return;
    // Said once per change: a count-down read aloud each second helps nobody.
    if (state.phase === "live") say(before === "lost" ? "Connected again" : "Connected");
    else if (state.phase === "lost") say(`Connection lost: ${state.reason}`);
  }

  /** Write the seconds that are left. */
  tick() {
    const state = this.#state;
    if (!state) return;
    const waits = state.phase === "lost" && state.retryAt > 0;
    this.#retry.hidden = !waits && !state.isOver;
    setText(this.#retry, state.isOver ? "Enter key" : "Retry now");
    if (state.phase === "live") setText(this.#label, "Live");
    else if (state.phase === "connecting") setText(this.#label, "Connecting");
    else if (state.isOver) setText(this.#label, "Key wanted");
    else if (!waits) setText(this.#label, "Reconnecting");
    else {
      const seconds = Math.max(0, Math.ceil((state.retryAt - performance.now()) / 1000));
      setText(this.#label, `Lost: reconnecting in ${seconds} s`);
    }
    this.#chip.title = state.phase === "lost" ? state.reason : "";
  }
}

/**
 * Show the age of trades at the screen.
 * @param {import("./clock.js").LatencyMeter} meter
 * @param {boolean} isLive whether the stream is connected
 */
export function showLatency(meter, isLive) {
  if (!meter.isLive) setText(byId("latency"), "replay");
  else setText(byId("latency"), formatLatency(isLive ? meter.median(performance.now()) : null));
}

/** @param {string} state @returns {"ok" | "warn" | "bad"} */
export function toneOf(state) {
  return TONES[state] ?? "warn";
}

/**
 * A feed whose state says that it is stale, unless there is worse to say, and for how long.
 * @param {any} feed of /v1/status
 * @param {number} nowNs the server's time
 */
export function judged(feed, nowNs) {
  const isStale = feed.stale && feed.state === "live";
  const heard = feed.last_tick ?? null;
  const quiet = heard === null ? "long" : formatAge(nowNs / 1e9 - Date.parse(heard) / 1000);
  return { ...feed, state: isStale ? "stale" : feed.state, quiet };
}

/**
 * What roles and this gateway wait for, in words. Roles that are not told are not waited for: a
 * Redis that is away is named by itself, and a key may be too small to be told.
 * @param {any} status
 * @returns {string[]}
 */
export function waits(status) {
  if (status.draining) return ["This gateway is going down."];
  const reasons = [];
  for (const [name, state] of Object.entries(status.dependencies ?? {})) {
    if (!state.ok) reasons.push(`gateway waits for ${name}: ${state.reason}`);
  }
  for (const role of status.roles ?? []) {
    for (const [name, reason] of Object.entries(role.waiting ?? {})) {
      if (role.role !== "gateway") reasons.push(`${role.role} waits for ${name}: ${reason}`);
    }
  }
  return reasons;
}

/** @param {any[]} feeds judged @param {boolean} isWaiting */
function summary(feeds, isWaiting) {
  const troubled = feeds.filter((feed) => toneOf(feed.state) !== "ok");
  if (troubled.length === 1) {
    return `${troubled[0].feed} ${(WORDS[troubled[0].state] ?? troubled[0].state).toLowerCase()}`;
  }
  if (troubled.length) return `${troubled.length} of ${feeds.length} feeds in trouble`;
  if (isWaiting) return "Waiting";
  return feeds.length === 1 ? "1 feed" : `${feeds.length} feeds`;
}

/** Show the worst of the feeds' states on the way to the status view. @param {any} status */
export function showFeeds(status) {
  const feeds = (status.feeds ?? []).map((/** @type {any} */ feed) => judged(feed, status.time_ns));
  const isWaiting = waits(status).length > 0;
  const tones = feeds.map((/** @type {any} */ feed) => toneOf(feed.state));
  const worst = tones.includes("bad") ? "bad" : tones.includes("warn") || isWaiting ? "warn" : "ok";
  byId("status-link").dataset.state = feeds.length ? worst : "warn";
  setText(byId("feeds-label"), feeds.length ? summary(feeds, isWaiting) : "No feed");
}

/** The state of the feeds cannot be had. */
export function showNoFeeds() {
  byId("status-link").dataset.state = "bad";
  setText(byId("feeds-label"), "Feeds unknown");
}
