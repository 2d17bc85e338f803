/** What the page carries of the stream: the set that it wants now, however it changes. */

import { AuthFailed, Refused, Stream as Connection } from "./tickgate.js";

const BACKOFF = { floorMs: 250 };
const NO_DATA = ["hb", "stale", "shutdown"];

/**
 * What the session should carry: channel name to symbols.
 * @typedef {{channels: Record<string, string[]>}} Subscription
 */

/**
 * `retryAt` is the time of the next attempt (ms, performance.now clock) while lost; `isOver`: there
 * is none, as the key is not accepted.
 * @typedef {{phase: "connecting" | "live" | "lost", retryAt: number, attempt: number,
 *   reason: string, isOver?: boolean}} StreamState
 */

/**
 * @typedef {object} StreamEvents
 * @property {(messages: any[]) => void} onMessages data messages of one frame, in order
 * @property {(state: StreamState) => void} onState
 * @property {() => void} onSubscribed the server has confirmed what is wanted now
 * @property {(error: Refused, asked: string[]) => void} onRefused the server did not accept a
 *   request for these symbols
 * @property {(error: Refused) => void} onError an error that answers no request
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

/** The channels without what the gateway refused. @param {Record<string, string[]>} set @param {Refused} error */
function without(set, { symbols, channels }) {
  const entries = Object.entries(set).filter(([channel]) => !channels.includes(channel));
  return Object.fromEntries(
    entries.map(([channel, names]) => [channel, names.filter((name) => !symbols.includes(name))]),
  );
}

export class Stream {
  #connection;
  #url;
  #options;
  #events;
  #isStopped = false;
  /** @type {Record<string, string[]>} */
  #wanted = {};
  /** What was asked for and not refused. @type {Record<string, string[]>} */
  #asked = {};
  #subscribed = true;
  /** @type {StreamState} */
  state = { phase: "connecting", retryAt: 0, attempt: 0, reason: "" };

  /**
   * @param {string} url
   * @param {StreamEvents} events
   * @param {() => {key?: string, secret?: string}} credentials
   */
  constructor(url, events, credentials) {
    this.#url = url;
    this.#events = events;
    // A display begins anew after a loss: it loads what it shows of the past over HTTP.
    this.#options = { recover: /** @type {const} */ ("snapshot"), backoff: BACKOFF, credentials };
    this.#connection = this.#make();
  }

  #make() {
    const [connection, events] = [new Connection(this.#url, this.#options), this.#events];
    connection.on("batch", (messages) => {
      const data = messages.filter((message) => !NO_DATA.includes(message.T));
      if (data.length) events.onMessages(data);
    });
    connection.on("stale", () => events.onFeedNews());
    connection.on("problem", (error) => {
      this.#asked = without(this.#asked, error); // a restored set goes on without it
      this.#isStopped ||= error instanceof AuthFailed;
      events.onError(error);
    });
    connection.on("settled", (agreed) => this.#confirm(agreed));
    connection.on("state", (state) => {
      if (state.phase === "closed" && !this.#isStopped) this.#beginAnew();
      else this.#follow(state);
    });
    return connection;
  }

  /** Of the set that was to be restored nothing is left: ask for what is wanted by now. */
  #beginAnew() {
    const { heartbeatMs } = this.#connection;
    this.#asked = {};
    this.#connection = this.#make();
    this.#connection.heartbeatMs = heartbeatMs;
    this.#connection.connect();
  }

  /** Time between the server's heartbeats; 0: there are none, and a dead way goes unnoticed. */
  set heartbeatMs(/** @type {number} */ value) {
    this.#connection.heartbeatMs = value;
  }

  /** Connect now, whatever the back-off says; no effect while connected. */
  connect() {
    this.#connection.connect();
  }

  /**
   * Say what the session should carry. What is no longer wanted is dropped first; what every
   * symbol is wanted of goes by itself, so that a symbol that is refused costs nothing else.
   * @param {Subscription} wanted
   */
  subscribe({ channels }) {
    const [dropped, added] = [difference(this.#asked, channels), difference(channels, this.#asked)];
    this.#wanted = this.#asked = channels;
    this.#subscribed = false;
    this.#ask(this.#connection.unsubscribe(dropped), {});
    for (const some of [pick(added, true), pick(added, false)]) {
      this.#ask(this.#connection.subscribe(some, { snapshot: true }), some);
    }
    if (this.#connection.isSettled) this.#confirm(this.#connection.subscriptions);
  }

  /** End for good: no further attempt. */
  stop() {
    this.#isStopped = true;
    this.#connection.close();
  }

  /** Whether the server has confirmed the subscription that is wanted now. */
  get isSubscribed() {
    return this.state.phase === "live" && this.#subscribed;
  }

  /** @param {Promise<void>} answer @param {Record<string, string[]>} channels */
  #ask(answer, channels) {
    const connection = this.#connection;
    answer.catch((error) => {
      if (connection !== this.#connection) return; // the one after it asks for everything
      this.#asked = difference(this.#asked, channels);
      const symbols = Object.values(channels).flat();
      if (error instanceof Refused) this.#events.onRefused(error, symbols);
    });
  }

  /** @param {Record<string, string[]>} agreed */
  #confirm(agreed) {
    if (this.#subscribed || Object.keys(difference(this.#wanted, agreed)).length) return;
    this.#subscribed = true;
    this.#events.onSubscribed();
  }

  /** @param {import("./tickgate.js").State} state */
  #follow({ phase, ...rest }) {
    if (phase !== "live") this.#subscribed = false;
    const isOver = phase === "closed";
    this.state = { phase: isOver ? "lost" : phase, isOver, ...rest };
    this.#events.onState(this.state);
    if (phase === "live") this.subscribe({ channels: this.#wanted }); // what failed with the last one
  }
}
