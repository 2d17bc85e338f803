/** The state of things in the top bar: connection, latency, feeds. */

import { formatAge, formatLatency } from "./format.js";
import { byId, setText } from "./frames.js";

const WORDS = {
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
  #live = byId("connection-live");
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
    if (state.phase === "live") setText(this.#live, before === "lost" ? "Connected again" : "Live");
    else if (state.phase === "lost") setText(this.#live, `Connection lost: ${state.reason}`);
    else setText(this.#live, "Connecting");
  }

  /** Write the seconds that are left. */
  tick() {
    const state = this.#state;
    if (!state) return;
    const waits = state.phase === "lost" && state.retryAt > 0;
    this.#retry.hidden = !waits;
    if (state.phase === "live") setText(this.#label, "Live");
    else if (state.phase === "connecting") setText(this.#label, "Connecting");
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

/** @typedef {{name: string, state: string, detail: string, ticks: number}} Feed */

/**
 * A feed whose state says that it is stale, unless there is worse to say, and for how long.
 * @param {any} feed
 * @param {number} nowNs the server's time
 */
function judged(feed, nowNs) {
  const isStale = feed.stale && feed.state === "live";
  const heard = feed.last_tick ?? null;
  const quiet = heard === null ? "long" : formatAge(nowNs / 1e9 - Date.parse(heard) / 1000);
  return { ...feed, state: isStale ? "stale" : feed.state, quiet };
}

/** Shows the feeds of `/v1/status` behind a button that carries the worst of their states. */
export class FeedPanel {
  #button = byId("feeds-button");
  #list = byId("feeds-list");
  #note = byId("feeds-note");

  /** @param {any} status the answer of /v1/status */
  show(status) {
    const feeds = (status.feeds ?? []).map((/** @type {any} */ feed) => judged(feed, status.time_ns));
    const waiting = this.#waiting(status);
    this.#list.replaceChildren(...feeds.map((/** @type {any} */ feed) => this.#item(feed)));
    setText(this.#note, waiting || (feeds.length ? "" : "No feed has reported yet."));
    const tones = feeds.map((/** @type {any} */ feed) => TONES[feed.state] ?? "warn");
    const worst = tones.includes("bad") ? "bad" : tones.includes("warn") || waiting ? "warn" : "ok";
    this.#button.dataset.state = feeds.length ? worst : "warn";
    setText(byId("feeds-label"), this.#summary(feeds, waiting));
  }

  /** @param {string} reason why the state is not known */
  fail(reason) {
    this.#button.dataset.state = "bad";
    setText(byId("feeds-label"), "Feeds unknown");
    setText(this.#note, reason);
  }

  /** What roles and this gateway wait for, in words. @param {any} status */
  #waiting(status) {
    if (status.draining) return "this gateway is going down";
    const reasons = [];
    for (const [name, state] of Object.entries(status.dependencies ?? {})) {
      if (!state.ok) reasons.push(`gateway waits for ${name}: ${state.reason}`);
    }
    for (const role of status.roles ?? []) {
      for (const [name, reason] of Object.entries(role.waiting ?? {})) {
        if (role.role !== "gateway") reasons.push(`${role.role} waits for ${name}: ${reason}`);
      }
    }
    if (status.roles_unknown) reasons.push(status.roles_unknown);
    return reasons.join(" · ");
  }

  /** @param {any[]} feeds @param {string} waiting */
  #summary(feeds, waiting) {
    const troubled = feeds.filter((feed) => (TONES[feed.state] ?? "warn") !== "ok");
    if (troubled.length === 1) {
      return `${troubled[0].feed} ${(WORDS[troubled[0].state] ?? troubled[0].state).toLowerCase()}`;
    }
    if (troubled.length) return `${troubled.length} of ${feeds.length} feeds in trouble`;
    if (waiting) return "Waiting";
    return feeds.length === 1 ? "1 feed" : `${feeds.length} feeds`;
  }

  /** @param {any} feed */
  #item(feed) {
    const item = document.createElement("li");
    item.className = "feed";
    item.dataset.state = TONES[feed.state] ?? "warn";
    const dot = document.createElement("span");
    dot.className = "dot";
    const name = document.createElement("b");
    name.textContent = feed.feed;
    const state = document.createElement("span");
    state.textContent = WORDS[feed.state] ?? feed.state;
    const detail = document.createElement("small");
    const facts = [
      feed.stale ? `no trade for ${feed.quiet}` : "",
      feed.detail,
      feed.symbols ? `${feed.symbols} symbols` : "", `${feed.ticks.toLocaleString("en-US")} trades`,
      feed.reconnects ? `${feed.reconnects} reconnects` : "",
    ];
    detail.textContent = facts.filter(Boolean).join(" · ");
    item.append(dot, name, state, detail);
    return item;
  }
}
