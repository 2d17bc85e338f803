/** The stream of a gateway: one connection that comes back by itself, and what is asked of it. */

import { addressOf, credentialsOf } from "./access.js";
import { AuthFailed, Refused, StreamClosed, Unreachable } from "./errors.js";
import { Handlers } from "./events.js";
import { channelsOf, gapsOf, pairs } from "./messages.js";
import { ended, isAnswer, subscription, without } from "./requests.js";
import { renewalMs, waitMs } from "./waits.js";

const ANSWER_MS = 10_000; // a gateway that works answers a request within milliseconds
const RESUME_MS = 75_000; // while Redis is away a resume may wait for 60 s
const MISSED_HEARTBEATS = 2.5; // without any message for so many of them the way is dead
const PACE = { requests: 10, ms: 1000 }; // the gateway takes 20 messages a second
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const AT_ONCE = ["hb", "stale", "shutdown"]; // not part of what a cursor counts
const CONTROL = ["success", "subscription", "error", "cursor"];
const NO_ENTRY = [401, 402]; // not authenticated, auth failed
const OF_THE_CONNECTION = [404, 406, 407]; // late, too many, slow: nobody's answer
const ALREADY_AUTHENTICATED = 403;
const NOT_PERMITTED = 409;
const INTERNAL = 500;
const RIGHTS_ENDED = "what this caller may read has changed, and ends subscriptions";

/** @typedef {import("./messages.js").Channels} Channels */
/** @typedef {import("./messages.js").Message} Message */
/** @typedef {import("./events.js").Events} Events */
/** @typedef {import("./events.js").State} State */
/** @typedef {import("./requests.js").Options} Options */
/** @typedef {import("./requests.js").Ask} Ask */
/** @typedef {import("./requests.js").Sent} Sent */

/**
 * An open stream. It asks one thing at a time: who it is, then the whole set where the newest
 * cursor stands, then changes. Messages are held until the cursor behind them has come: only then
 * do they count as received, so that after a lost connection nothing is missing or comes twice.
 */
export class Stream {
  #url;
  #options;
  #handlers = new Handlers();
  /** @type {WebSocket | null} */
  #socket = null;
  /** What the gateway has agreed to; it outlives connections. @type {Channels} */
  #wanted = {};
  /** @type {Ask[]} */
  #asks = [];
  /** @type {Sent | null} */
  #sent = null;
  /** @type {Record<string, string> | null} */
  #login = null;
  /** @type {Message[]} */
  #held = [];
  #cursor;
  /** When it came; null: in an earlier life. @type {string | null} */
  #cursorAt = null;
  #greeted = false;
  #restored = false;
  #subscribed = false;
  #heard = false;
  #letIn = false;
  /** Was the last agreement told? */
  #told = false;
  #attempt = 0;
  /** When the newest requests went out. @type {number[]} */
  #paced = [];
  /** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */
  #timers = {};
  /** @type {(value?: any) => void} */
  #opened = () => undefined;
  /** @type {(error: Error) => void} */
  #failed = () => undefined;
  /** Time between the gateway's heartbeats; `/v1/status` tells. */
  heartbeatMs;
  /** Resolves once the gateway has let this client in; rejects when that will not happen. */
  ready;
  /** @type {State} */
  state = { phase: "connecting", reason: "", attempt: 0, retryAt: 0 };

  /** @param {string} url @param {Options} [options] */
  constructor(url, options = {}) {
    this.#url = `${addressOf(url, "ws")}/v1/stream`;
    this.#options = options;
    this.#cursor = options.resume ?? "";
    this.heartbeatMs = options.heartbeatMs ?? 15_000;
    this.ready = new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#failed = reject;
    });
    this.ready.catch(() => undefined); // it is no news to those who do not ask
  }

  /** Where the messages that were handed on end: store it, and give it as `resume` later. */
  get cursor() {
    return this.#cursor;
  }

  /** What the gateway has agreed to. @returns {Channels} */
  get subscriptions() {
    return this.#wanted;
  }

  /** Has the gateway agreed to all that was asked for, on this connection? */
  get isSettled() {
    return this.state.phase === "live" && !this.#sent && !this.#asks.length && this.#restored;
  }

  /**
   * Call a handler for each event of a kind.
   * @template {keyof Events} K
   * @param {K} kind
   * @param {(value: Events[K]) => void} handler
   * @returns {() => void} takes it away again
   */
  on(kind, handler) {
    return this.#handlers.add(kind, handler);
  }

  /**
   * Add symbols to channels; resolves once the gateway has agreed, which while the connection is
   * lost takes until it is back. Rejects with {@link Refused}: the set stays as it was.
   * @param {Record<string, string | Iterable<string>>} channels of each one symbol, or several
   * @param {{snapshot?: boolean}} [options] the last trade and the running bar of each come first
   * @returns {Promise<void>}
   */
  subscribe(channels, { snapshot = false } = {}) {
    return this.#ask("subscribe", channels, snapshot);
  }

  /** Take symbols off channels, as they were spelled. @param {Record<string, string | Iterable<string>>} channels */
  unsubscribe(channels) {
    return this.#ask("unsubscribe", channels, false);
  }

  /** Connect now, whatever the back-off says; no effect while connected or closed. */
  connect() {
    if (this.#socket || this.state.phase === "closed") return;
    clearTimeout(this.#timers.retry);
    this.#open();
  }

  /** End for good. */
  close() {
    this.#end(new StreamClosed());
  }

  /** @param {Ask["action"]} action @param {Record<string, string | Iterable<string>>} named @param {boolean} snapshot */
  async #ask(action, named, snapshot) {
    if (this.state.phase === "closed") throw new StreamClosed();
    const channels = channelsOf(named);
    if (!pairs(channels).length) return;
    await new Promise((resolve, reject) => {
      this.#asks.push({ action, channels, snapshot, resolve: () => resolve(undefined), reject });
      this.#next();
    });
  }

  #open() {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    const socket = new Socket(this.#url);
    this.#socket = socket;
    this.#tell({ ...this.state, phase: this.#attempt ? "lost" : "connecting", retryAt: 0 });
    this.#greeted = this.#restored = this.#subscribed = this.#heard = this.#letIn = this.#told = false;
    this.#sent = null;
    this.#held = [];
    this.#watch(ANSWER_MS);
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(String(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lose(event.reason || "connection closed");
    };
    // A close follows at once; that of Node 20 tells no more where nobody took the connection.
    socket.onerror = () => setTimeout(() => {
      if (socket === this.#socket) this.#abandon("no connection");
    });
  }

  /** The message that shows who asks; null where nobody has to. */
  async #credentials() {
    const { key, secret, token } = await credentialsOf(this.#options);
    if (token) this.#renewLater(token);
    if (token) return { action: "auth", key: "oauth", secret: token };
    return key ? { action: "auth", key, secret: secret ?? "" } : null;
  }

  /** @param {string} token */
  #renewLater(token) {
    clearTimeout(this.#timers.renew);
    if (this.state.phase === "closed") return; // while the token was on its way
    const wait = renewalMs(token, Date.now());
    if (wait === null || typeof this.#options.token !== "function") return;
    const renew = async () => {
      this.#login = await this.#credentials();
      this.#next();
    };
    this.#timers.renew = setTimeout(() => renew().catch(() => undefined), Math.min(wait, LONGEST_TIMER_MS));
  }

  /** Say what is to be said now: one request, and none while an answer is due. */
  #next() {
    if (this.#sent || !this.#greeted || this.#socket?.readyState !== 1) return;
    const sent = this.#due();
    if (!sent) {
      const isNews = !this.#told;
      this.#told = true; // first: a handler may ask for more
      if (isNews) this.#handlers.tell("settled", this.subscriptions);
      return;
    }
    this.#told = false;
    const now = performance.now();
    this.#paced = this.#paced.filter((at) => now - at < PACE.ms);
    this.#sent = sent;
    if (this.#paced.length < PACE.requests) this.#send(sent);
    else this.#timers.pace = setTimeout(() => this.#send(sent), PACE.ms - (now - this.#paced[0]));
  }

  /** Who asks, then the whole set, then changes, one by one. @returns {Sent | null} */
  #due() {
    if (this.#login) {
      const request = this.#login;
      this.#login = null;
      return { request, channels: {} };
    }
    if (!this.#restored) {
      this.#restored = true;
      if (pairs(this.#wanted).length) {
        return this.#subscription(this.#wanted, this.#options.recover === "snapshot");
      }
    }
    const ask = this.#asks[0];
    if (!ask) return null;
    if (ask.action === "subscribe") return { ...this.#subscription(ask.channels, ask.snapshot), ask };
    return { request: { action: ask.action, ...ask.channels }, channels: ask.channels, ask };
  }

  /** @param {Channels} channels @param {boolean} snapshot */
  #subscription(channels, snapshot) {
    return subscription(channels, this.#options, snapshot, this.#subscribed ? "" : this.#cursor);
  }

  /** @param {Sent} sent */
  #send(sent) {
    if (this.#sent !== sent) return; // the connection was lost meanwhile
    this.#paced.push(performance.now());
    this.#socket?.send(JSON.stringify(sent.request));
    this.#watchAsIs();
  }

  /** @param {string} text */
  #receive(text) {
    /** @type {Message[]} */
    const batch = [];
    for (const message of JSON.parse(text)) {
      if (CONTROL.includes(message.T)) this.#control(message, batch);
      else if (AT_ONCE.includes(message.T) || this.#options.recover === "snapshot") batch.push(message);
      else this.#held.push(message);
      if (!this.#socket) return;
    }
    this.#next();
    this.#watchAsIs();
    if (!batch.length) return;
    if (!this.#heard) {
      this.#heard = true; // only a connection that brings something counts as a success
      this.#attempt = 0;
    }
    this.#handlers.tellAll(batch);
  }

  /** @param {any} message @param {Message[]} batch */
  #control(message, batch) {
    if (message.T === "cursor") {
      this.#cursor = message.c;
      this.#cursorAt = new Date().toISOString();
      batch.push(...this.#held);
      this.#held = [];
    } else if (message.T === "success") this.#greet(message.msg);
    else if (message.T === "subscription") this.#confirm(message);
    else this.#refuse(new Refused(message.code, message.msg, message));
  }

  /** @param {string} word "connected" or "authenticated" */
  #greet(word) {
    if (word === "authenticated") {
      if (this.#sent?.request.action === "auth") this.#sent = null;
      this.#enter();
      return;
    }
    const socket = this.#socket;
    this.#credentials().then(
      (login) => {
        if (socket !== this.#socket) return;
        this.#greeted = true;
        this.#login = login;
        if (!login) this.#enter();
        this.#next();
        this.#watchAsIs(); // who asks for nothing yet may take his time
      },
      (error) => socket === this.#socket && this.#abandon(`no token: ${error.message}`),
    );
  }

  #enter() {
    if (this.#letIn) return;
    this.#letIn = true;
    this.#opened();
    this.#tell({ phase: "live", reason: "", attempt: this.#attempt, retryAt: 0 });
  }

  /** The set is what the gateway says, also where it says so unasked. @param {any} message */
  #confirm(message) {
    const { T: _, corrections: _c, cancelErrors: _x, ...channels } = message;
    const agreed = Object.entries(channels).filter(([, symbols]) => symbols.length);
    const [before, sent] = [this.#wanted, this.#sent];
    this.#wanted = Object.fromEntries(agreed);
    if (!agreed.length) this.#cursor = ""; // what begins after this begins anew
    const gone = ended(before, this.#wanted, sent);
    if (gone) {
      const error = new Refused(NOT_PERMITTED, RIGHTS_ENDED, gone);
      if (!agreed.length) return this.#end(error); // no data would come, and no heartbeat
      this.#handlers.tell("problem", error);
    }
    if (!sent || !isAnswer(message, sent)) return;
    this.#sent = null;
    if (sent.request.action === "subscribe") this.#subscribed = true;
    if (sent.isLost) {
      this.#held.push(...gapsOf(sent.channels, this.#cursorAt, new Date().toISOString()));
    }
    if (!sent.ask) return;
    this.#asks.shift();
    sent.ask.resolve();
  }

  /** @param {Refused} error */
  #refuse(error) {
    const { code, message: words } = error;
    const sent = this.#sent;
    if (NO_ENTRY.includes(code)) return this.#noEntry(code, words);
    if (!sent || OF_THE_CONNECTION.includes(code)) return this.#handlers.tell("problem", error);
    this.#sent = null;
    const isNamed = error.symbols.length + error.channels.length > 0;
    const left = sent.ask || !isNamed ? null : without(this.#wanted, error);
    if (sent.request.action === "auth") {
      if (code === ALREADY_AUTHENTICATED) this.#enter();
      else if (code === INTERNAL) this.#handlers.tell("problem", error);
      else this.#noEntry(code, words);
    } else if (left) {
      this.#wanted = left;
      this.#restored = false;
      this.#handlers.tell("problem", error);
    } else if ("resume" in sent.request && !isNamed && (code === 400 || code === INTERNAL)) {
      const { resume: _, ...request } = sent.request;
      this.#sent = { ...sent, request, isLost: true };
      this.#send(this.#sent);
    } else if (sent.ask) {
      this.#asks.shift();
      sent.ask.reject(error);
    } else if (code === INTERNAL) this.#abandon(words); // the next connection asks for it again
    else this.#end(error);
  }

  /** @param {number} code @param {string} words */
  #noEntry(code, words) {
    // A token that has expired while the connection lived: the next connection shows a new one.
    if (this.#letIn && typeof this.#options.token === "function") this.#abandon(words);
    else this.#end(new AuthFailed(code, words));
  }

  #watchAsIs() {
    if (this.#sent?.request.resume) this.#watch(RESUME_MS);
    else if (this.#sent || !this.#greeted) this.#watch(ANSWER_MS);
    else this.#watch(pairs(this.#wanted).length ? this.heartbeatMs * MISSED_HEARTBEATS : 0);
  }

  /** Leave a connection that is silent for so long; 0: never. @param {number} patienceMs */
  #watch(patienceMs) {
    clearTimeout(this.#timers.silence);
    const words = `nothing was heard for ${patienceMs / 1000} s`;
    if (patienceMs) this.#timers.silence = setTimeout(() => this.#abandon(words), patienceMs);
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
    this.#stopTimers();
    if (this.#attempt >= (this.#options.maxAttempts ?? Infinity)) {
      this.#end(new Unreachable(`${this.#url} cannot be reached: ${reason}`));
      return;
    }
    const wait = waitMs(this.#attempt, Math.random(), this.#options.backoff);
    this.#attempt += 1;
    this.#timers.retry = setTimeout(() => this.#open(), wait);
    this.#tell({ phase: "lost", reason, attempt: this.#attempt, retryAt: performance.now() + wait });
  }

  /** No further connection, and an error for everybody who waits. @param {Error} error */
  #end(error) {
    if (this.state.phase === "closed") return;
    const socket = this.#socket;
    this.#socket = null;
    this.#stopTimers();
    socket?.close();
    this.#failed(error);
    for (const ask of this.#asks.splice(0)) ask.reject(error);
    this.state = { phase: "closed", reason: error.message, attempt: this.#attempt, retryAt: 0 };
    if (error instanceof Refused) this.#handlers.tell("problem", error);
    this.#tell(this.state);
  }

  #stopTimers() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  /** @param {State} state */
  #tell(state) {
    this.state = state;
    this.#handlers.tell("state", state);
  }
}
