/** One WebSocket session that heals: it reconnects with back-off and subscribes again. */

import { backoffMs } from "./backoff.js";

const CONNECT_TIMEOUT_MS = 10_000;
const QUIET_MS = 10_000; // after this long without a message the session is probed
const PROBE_MS = 5000; // a probe that is not answered within this means the way is dead

/**
 * What the session should carry: channel name to symbols.
 * @typedef {{channels: Record<string, string[]>}} Subscription
 */

/**
 * `retryAt` is the time of the next attempt (ms, performance.now clock) while lost.
 * @typedef {{phase: "connecting" | "live" | "lost", retryAt: number, attempt: number,
 *   reason: string}} StreamState
 */

/**
 * @typedef {object} StreamEvents
 * @property {(messages: any[]) => void} onMessages data messages of one frame, in order
 * @property {(state: StreamState) => void} onState
 * @property {() => void} onSubscribed the server has confirmed what is wanted now
 * @property {(code: number, message: string) => void} onError an error message of the server
 */

/** @param {any} confirmed @param {Record<string, string[]>} wanted */
function covers(confirmed, wanted) {
  return Object.entries(wanted).every(([channel, symbols]) => {
    const carried = confirmed[channel] ?? [];
    return symbols.every((symbol) => carried.includes(symbol));
  });
}

export class Stream {
  #url;
  #events;
  #credentials;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Subscription} */
  #wanted = { channels: {} };
  /** @type {Record<string, string[]>} what was last asked for on this socket */
  #asked = {};
  #subscribed = true;
  #attempt = 0;
  #isStopped = false;
  /** @type {number | undefined} */
  #timer;
  /** @type {StreamState} */
  state = { phase: "connecting", retryAt: 0, attempt: 0, reason: "" };

  /**
   * @param {string} url
   * @param {StreamEvents} events
   * @param {() => {id: string, secret: string} | null} credentials
   */
  constructor(url, events, credentials) {
    this.#url = url;
    this.#events = events;
    this.#credentials = credentials;
  }

  /** Connect now, whatever the back-off says; no effect while connected. */
  connect() {
    if (this.#socket || this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#setState({ phase: this.#attempt ? "lost" : "connecting", retryAt: 0 });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#asked = {};
    this.#watch(CONNECT_TIMEOUT_MS, () => this.#abandon("no answer"));
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(String(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lose(event.reason || "connection closed");
    };
  }

  /**
   * Say what the session should carry; what is no longer wanted is dropped first.
   * @param {Subscription} wanted
   */
  subscribe(wanted) {
    this.#wanted = wanted;
    this.#subscribed = false;
    if (this.state.phase === "live") this.#sendSubscription();
  }

  /** End for good: no further attempt. */
  stop() {
    clearTimeout(this.#timer);
    this.#isStopped = true;
    this.#socket?.close();
    this.#socket = null;
    this.#setState({ phase: "lost", retryAt: 0, reason: "stopped" });
  }

  /** Whether the server has confirmed the subscription that is wanted now. */
  get isSubscribed() {
    return this.state.phase === "live" && this.#subscribed;
  }

  #sendSubscription() {
    /** @type {Record<string, string[]>} */
    const dropped = {};
    for (const [channel, symbols] of Object.entries(this.#asked)) {
      const gone = symbols.filter((symbol) => !this.#wanted.channels[channel]?.includes(symbol));
      if (gone.length) dropped[channel] = gone;
    }
    if (Object.keys(dropped).length) this.#send({ action: "unsubscribe", ...dropped });
    /** @type {Record<string, string[]>} */
    const added = {};
    for (const [channel, symbols] of Object.entries(this.#wanted.channels)) {
      const fresh = symbols.filter((symbol) => !this.#asked[channel]?.includes(symbol));
      if (fresh.length) added[channel] = fresh;
    }
    this.#asked = this.#wanted.channels;
    // Also with nothing new: the answer is what confirms the set.
    this.#send({ action: "subscribe", ...added, snapshot: true });
  }

  /** @param {object} message */
  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** @param {string} text */
  #receive(text) {
    this.#watch(QUIET_MS, () => this.#probe());
    /** @type {any[]} */
    const messages = JSON.parse(text);
    const first = messages[0];
    if (first === undefined || !["success", "subscription", "error", "shutdown"].includes(first.T)) {
      this.#events.onMessages(messages);
      return;
    }
    if (first.T === "success") this.#greet(first.msg);
    else if (first.T === "subscription") this.#confirm(first);
    else if (first.T === "error") this.#events.onError(first.code, first.msg);
  }

  /** @param {string} word "connected" or "authenticated" */
  #greet(word) {
    const key = this.#credentials();
    if (word === "connected" && key) {
      this.#send({ action: "auth", key: key.id, secret: key.secret });
      return;
    }
    this.#subscribed = false;
    this.#setState({ phase: "live", retryAt: 0, reason: "" });
    this.#sendSubscription();
  }

  /** @param {any} message */
  #confirm(message) {
    if (this.#subscribed || !covers(message, this.#wanted.channels)) return;
    this.#subscribed = true;
    this.#attempt = 0; // only a session that carries something counts as a success
    this.#events.onSubscribed();
  }

  /** Do something unless a message arrives first. @param {number} patienceMs @param {() => void} then */
  #watch(patienceMs, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, patienceMs);
  }

  /** A quiet market and a dead way look alike: ask for nothing, which is answered at once. */
  #probe() {
    this.#send({ action: "subscribe" });
    this.#watch(PROBE_MS, () => this.#abandon("the gateway went silent"));
  }

  /** Give up a connection that may never say that it is closed. @param {string} reason */
  #abandon(reason) {
    const socket = this.#socket;
    this.#lose(reason);
    socket?.close();
  }

  /** @param {string} reason */
  #lose(reason) {
    this.#socket = null;
    clearTimeout(this.#timer);
    const wait = backoffMs(this.#attempt, Math.random());
    this.#attempt += 1;
    this.#setState({ phase: "lost", retryAt: performance.now() + wait, reason });
    this.#timer = setTimeout(() => this.connect(), wait);
  }

  /** @param {Partial<StreamState>} change */
  #setState(change) {
    this.state = { ...this.state, attempt: this.#attempt, ...change };
    this.#events.onState(this.state);
  }
}
