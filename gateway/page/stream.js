/** One WebSocket session that heals: it reconnects with back-off and subscribes again. */

import { backoffMs } from "./backoff.js";

const CONNECT_TIMEOUT_MS = 10_000;
const HEARTBEAT_MS = 15_000; // the server's default; what it really is, /v1/status tells
const MISSED_HEARTBEATS = 2.5; // without any message for so many of them the way is dead
const CONTROL = ["success", "subscription", "error", "shutdown", "hb", "stale"];

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
 * @property {() => void} onFeedNews a feed has become stale, or is no longer
 */

/**
 * The names of one set that another has not.
 * @param {Record<string, string[]>} set
 * @param {Record<string, string[]>} other
 */
function difference(set, other) {
  /** @type {Record<string, string[]>} */
  const result = {};
  for (const [channel, symbols] of Object.entries(set)) {
    const rest = symbols.filter((symbol) => !other[channel]?.includes(symbol));
    if (rest.length) result[channel] = rest;
  }
  return result;
}

/** The channels with or without the name of every symbol. @param {Record<string, string[]>} set @param {boolean} wild */
function pick(set, wild) {
  const entries = Object.entries(set).map(([channel, symbols]) => [
    channel,
    symbols.filter((symbol) => (symbol === "*") === wild),
  ]);
  return Object.fromEntries(entries.filter(([, symbols]) => symbols.length));
}

export class Stream {
  #url;
  #events;
  #credentials;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Subscription} */
  #wanted = { channels: {} };
  /** What the server says that this socket carries. @type {Record<string, string[]>} */
  #carried = {};
  #subscribed = true;
  #attempt = 0;
  #isStopped = false;
  /** Time between the server's heartbeats; 0: there are none, and a dead way goes unnoticed. */
  heartbeatMs = HEARTBEAT_MS;
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
    this.#carried = {};
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

  /**
   * Ask for what is missing. What every symbol is wanted of goes first and by itself: a symbol
   * that the server refuses then costs nothing else.
   */
  #sendSubscription() {
    const added = difference(this.#wanted.channels, this.#carried);
    const [wild, named] = [pick(added, true), pick(added, false)];
    this.#drop();
    if (Object.keys(wild).length) this.#send({ action: "subscribe", ...wild, snapshot: true });
    // Also with nothing new: the answer is what confirms the set.
    this.#send({ action: "subscribe", ...named, snapshot: true });
  }

  /** Give back what is carried and not wanted (any more). */
  #drop() {
    const dropped = difference(this.#carried, this.#wanted.channels);
    if (Object.keys(dropped).length) this.#send({ action: "unsubscribe", ...dropped });
  }

  /** @param {object} message */
  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** @param {string} text */
  #receive(text) {
    this.#watch(this.heartbeatMs * MISSED_HEARTBEATS, () => this.#abandon("the gateway went silent"));
    /** @type {any[]} */
    const messages = JSON.parse(text);
    const first = messages[0];
    if (first === undefined || !CONTROL.includes(first.T)) {
      this.#events.onMessages(messages);
      return;
    }
    if (first.T === "success") this.#greet(first.msg);
    else if (first.T === "subscription") this.#confirm(first);
    else if (first.T === "error") this.#events.onError(first.code, first.msg);
    else if (first.T === "stale") this.#events.onFeedNews();
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
    // Always the entire set; what comes with trades is neither asked for nor given back.
    const { T: _, corrections: _c, cancelErrors: _x, ...carried } = message;
    this.#carried = carried;
    if (this.#subscribed) return;
    this.#drop(); // what was asked for and given up before the answer came
    if (Object.keys(difference(this.#wanted.channels, carried)).length) return;
    this.#subscribed = true;
    this.#attempt = 0; // only a session that carries something counts as a success
    this.#events.onSubscribed();
  }

  /**
   * Do something unless a message arrives first.
   * @param {number} patienceMs 0: wait for ever
   * @param {() => void} then
   */
  #watch(patienceMs, then) {
    clearTimeout(this.#timer);
    if (patienceMs) this.#timer = setTimeout(then, patienceMs);
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
