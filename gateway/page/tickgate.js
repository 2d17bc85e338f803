/**
 * The client of a tickgate gateway for browsers and Node: its stream and its history, without
 * dependencies. `import { connect, Client } from "http://HOST:PORT/static/tickgate.js"`.
 *
 * Messages are those of the wire protocol, as they come: `T` tells the type, times are RFC 3339.
 */

const ANSWER_MS = 10_000; // a gateway that works answers a request within milliseconds
const RESUME_MS = 75_000; // while Redis is away a resume may wait for 60 s
const MISSED_HEARTBEATS = 2.5; // without any message for so many of them the way is dead
const PACE = { requests: 10, ms: 1000 }; // the gateway takes 20 messages a second
const RENEW_EARLY_MS = 60_000; // before a token expires
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const PAGE_ROWS = 10_000; // the most that a gateway gives at once
const SYMBOLS_AT_ONCE = 200; // so that the line of a request stays short
const LONGEST_RETRY_MS = 60_000; // limits are counted by the minute

const AT_ONCE = ["hb", "stale", "shutdown"]; // not part of what a cursor counts
const CONTROL = ["success", "subscription", "error", "cursor"];
const NO_ENTRY = [401, 402]; // not authenticated, auth failed
const OF_THE_CONNECTION = [404, 406, 407]; // late, too many, slow: nobody's answer
const ALREADY_AUTHENTICATED = 403;
const INTERNAL = 500;

/**
 * Symbols by channel, as on the wire: `trades`, `bars`, `updatedBars`, `runningBars`, and of bars
 * the same with `5Min` and `15Min` behind. Symbols as `BTC/USD`, `COINBASE:BTC-USD`, or `*`.
 * @typedef {Record<string, string[]>} Channels
 */

/** A trade. @typedef {{T: "t", S: string, p: number, s: number, t: string, i?: number, tks?: "B" | "S"}} Trade */

/**
 * A bar: closed (`b`), closed before and changed since (`u`), or still open (`r`).
 * @typedef {{T: "b" | "u" | "r", S: string, o: number, h: number, l: number, c: number, v: number, t: string,
 *   n: number, vw: number, tf?: string, rev?: number, final?: boolean, gap?: boolean}} Bar
 */

/** A trade is replaced. @typedef {{T: "c", S: string, oi: number, op: number, os: number, ci: number, cp: number, cs: number, t: string}} Correction */

/** A trade is taken back. @typedef {{T: "x", S: string, i: number, p: number, s: number, a: "C" | "E", t: string}} Cancel */

/**
 * Something is missing between two times. With state `lost` it will not come: ask the history.
 * `from` is null where it is not known since when.
 * @typedef {{T: "gap", S: string, from: string | null, to: string, state: "open" | "filled" | "lost",
 *   channels: string[], first?: number, last?: number}} Gap
 */

/** @typedef {{T: "hb", t: string, feeds: Record<string, string | null>}} Heartbeat */
/** @typedef {{T: "stale", feed: string, venue: string, stale: boolean, t: string | null, since: string, ended?: boolean}} Stale */
/** @typedef {{T: "shutdown", msg: string, within_s: number}} Shutdown */
/** @typedef {Trade | Bar | Correction | Cancel | Gap | Heartbeat | Stale | Shutdown} Message */

/**
 * How the connection stands. `retryAt` is when the next attempt comes, by `performance.now()`.
 * @typedef {{phase: "connecting" | "live" | "lost" | "closed", reason: string, attempt: number, retryAt: number}} State
 */

/**
 * What handlers are called for: a type of message by name, every message that counts as received
 * (`batch`), a change of the connection (`state`), the gateway's agreement to all that was asked
 * for (`settled`, on each connection and after each change), an error of the gateway that answers
 * no request (`problem`).
 * @typedef {object} Events
 * @property {Trade} trade
 * @property {Bar} bar
 * @property {Bar} updatedBar
 * @property {Bar} runningBar
 * @property {Correction} correction
 * @property {Cancel} cancel
 * @property {Gap} gap
 * @property {Heartbeat} heartbeat
 * @property {Stale} stale
 * @property {Shutdown} shutdown
 * @property {Message[]} batch
 * @property {State} state
 * @property {Channels} settled
 * @property {Refused} problem
 */

/** @type {Record<string, keyof Events>} */
const EVENT_OF = {
  t: "trade", b: "bar", u: "updatedBar", r: "runningBar", c: "correction", x: "cancel",
  gap: "gap", hb: "heartbeat", stale: "stale", shutdown: "shutdown",
};

/**
 * @typedef {string | (() => string | Promise<string>)} Token a token, or what gets a new one: it is
 *   called before each connection, and before a token that says when it expires does
 */

/**
 * @typedef {object} Options
 * @property {string} [key] the API key's id
 * @property {string} [secret] its secret
 * @property {Token} [token] instead of a key
 * @property {() => {key?: string, secret?: string, token?: string}} [credentials] instead of both:
 *   asked before each connection
 * @property {string} [resume] the cursor of an earlier stream: go on where it stands
 * @property {"resume" | "snapshot"} [recover] after a lost connection: go on where the newest
 *   cursor stands (the default), or begin with a snapshot, without cursors
 * @property {"all" | "latest"} [mode] `latest`: the newest message of each symbol and channel
 * @property {number} [intervalMs] length of the batch windows; the gateway's
 * @property {number} [heartbeatMs] time between the gateway's heartbeats, 15,000; 0: there are none
 * @property {number} [maxAttempts] how often in a row a lost connection is tried again; for ever
 * @property {{firstMs?: number, capMs?: number, floorMs?: number}} [backoff] 1,000, 30,000, 100
 * @property {typeof globalThis.WebSocket} [WebSocket] where there is no global one
 */

/** What the gateway does not accept: its code (of HTTP: the status) and its words. */
export class Refused extends Error {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "Refused";
    this.code = code;
  }
}

/** The key or the token is not accepted, or missing: not tried again. */
export class AuthFailed extends Refused {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(code, message);
    this.name = "AuthFailed";
  }
}

/** No answer from that address. */
export class Unreachable extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "Unreachable";
  }
}

/** The stream was closed. */
export class StreamClosed extends Error {
  constructor() {
    super("the stream is closed");
    this.name = "StreamClosed";
  }
}

/**
 * Full jitter: evenly spread between the floor and a ceiling that doubles, so that the clients of
 * a gateway do not come back in one instant. Pure: chance comes from the caller.
 * @param {number} attempt 0 for the first
 * @param {number} chance in [0, 1)
 * @param {{firstMs?: number, capMs?: number, floorMs?: number}} [backoff]
 * @returns {number} milliseconds
 */
export function waitMs(attempt, chance, { firstMs = 1000, capMs = 30_000, floorMs = 100 } = {}) {
  const longest = Math.min(capMs, firstMs * 2 ** Math.min(attempt, 30));
  return floorMs + chance * Math.max(0, longest - floorMs);
}

/**
 * In how many milliseconds a new token should be shown; null: never, it does not say.
 * @param {string} token
 * @param {number} nowMs
 */
export function renewalMs(token, nowMs) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    const left = claims.exp * 1000 - nowMs;
    return Number.isFinite(left) ? Math.max(1000, left - RENEW_EARLY_MS, left * 0.8) : null;
  } catch {
    return null;
  }
}

/**
 * The gateway's address for one of the protocols; `ws`, `wss`, `http` and `https` will do.
 * @param {string} url
 * @param {"ws" | "http"} protocol
 */
function base(url, protocol) {
  const parsed = new URL(url);
  if (!/^(ws|http)s?:$/.test(parsed.protocol)) {
    throw new TypeError(`${url} is no address of a gateway; expected as ws://127.0.0.1:8080`);
  }
  const secure = parsed.protocol === "wss:" || parsed.protocol === "https:";
  const path = parsed.pathname.replace(/\/$/, "").replace(/\/v1\/stream$/, "");
  return `${protocol}${secure ? "s" : ""}://${parsed.host}${path}`;
}

/** @param {Channels} channels @returns {[string, string][]} */
function pairs(channels) {
  return Object.entries(channels).flatMap(([channel, symbols]) =>
    symbols.map((symbol) => /** @type {[string, string]} */ ([channel, symbol])),
  );
}

/**
 * A change that was not answered yet.
 * @typedef {{action: "subscribe" | "unsubscribe", channels: Channels, snapshot: boolean,
 *   resolve: () => void, reject: (error: Error) => void}} Ask
 */

/** What was asked last. @typedef {{request: any, channels: Channels, ask?: Ask, isLost?: boolean}} Sent */

/**
 * An open stream. It asks one thing at a time: who it is, then the whole set where the newest
 * cursor stands, then changes. Messages are held until the cursor behind them has come: only then
 * do they count as received, so that after a lost connection nothing is missing or comes twice.
 */
export class Stream {
  #url;
  #options;
  /** @type {Map<string, Set<(value: any) => void>>} */
  #handlers = new Map();
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
    this.#url = `${base(url, "ws")}/v1/stream`;
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
    const handlers = this.#handlers.get(kind) ?? new Set();
    this.#handlers.set(kind, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  /**
   * Add symbols to channels; resolves once the gateway has agreed, which while the connection is
   * lost takes until it is back. Rejects with {@link Refused}: the set stays as it was.
   * @param {Channels} channels
   * @param {{snapshot?: boolean}} [options] the last trade and the running bar of each come first
   * @returns {Promise<void>}
   */
  subscribe(channels, { snapshot = false } = {}) {
    return this.#ask("subscribe", channels, snapshot);
  }

  /** Take symbols off channels, as they were spelled. @param {Channels} channels */
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

  /** @param {Ask["action"]} action @param {Channels} channels @param {boolean} snapshot @returns {Promise<void>} */
  #ask(action, channels, snapshot) {
    if (this.state.phase === "closed") return Promise.reject(new StreamClosed());
    if (!pairs(channels).length) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#asks.push({ action, channels, snapshot, resolve, reject });
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
    socket.onerror = () => undefined; // a close follows
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lose(event.reason || "connection closed");
    };
  }

  /** The message that shows who asks; null where nobody has to. */
  async #credentials() {
    const given = this.#options.credentials?.() ?? this.#options;
    const { key, secret } = given;
    const token = typeof given.token === "function" ? await given.token() : given.token;
    if (token) this.#renewLater(token);
    if (token) return { action: "auth", key: "oauth", secret: token };
    return key ? { action: "auth", key, secret: secret ?? "" } : null;
  }

  /** @param {string} token */
  #renewLater(token) {
    clearTimeout(this.#timers.renew);
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
      if (!this.#told) this.#emit("settled", this.subscriptions);
      this.#told = true;
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

  /** @param {Channels} channels @param {boolean} snapshot @returns {Sent} */
  #subscription(channels, snapshot) {
    const { mode, intervalMs, recover } = this.#options;
    /** @type {any} */
    const request = { action: "subscribe", ...channels };
    if (mode) request.mode = mode;
    if (intervalMs !== undefined) request.interval_ms = intervalMs;
    if (snapshot) request.snapshot = true;
    if (recover !== "snapshot") request.cursor = true;
    if (this.#cursor && !this.#subscribed) request.resume = this.#cursor;
    return { request, channels };
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
    this.#emit("batch", batch);
    for (const message of batch) {
      const kind = EVENT_OF[message.T];
      if (kind) this.#emit(kind, message);
    }
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
    else this.#refuse(message.code, message.msg);
  }

  /** @param {string} word "connected" or "authenticated" */
  #greet(word) {
    if (word === "authenticated") {
      this.#sent = null;
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
  #confirm({ T: _, corrections: _c, cancelErrors: _x, ...channels }) {
    const agreed = Object.entries(channels).filter(([, symbols]) => symbols.length);
    this.#wanted = Object.fromEntries(agreed);
    if (!agreed.length) this.#cursor = ""; // what begins after this begins anew
    const sent = this.#sent;
    this.#sent = null;
    if (!sent) return;
    if (sent.request.action === "subscribe") this.#subscribed = true;
    if (sent.isLost) this.#held.push(...this.#gaps(sent.channels));
    if (!sent.ask) return;
    this.#asks.shift();
    sent.ask.resolve();
  }

  /** The client's own words for what nobody can give it any more. @param {Channels} channels @returns {Gap[]} */
  #gaps(channels) {
    /** @type {Map<string, string[]>} */
    const bySymbol = new Map();
    for (const [channel, symbol] of pairs(channels)) {
      bySymbol.set(symbol, [...(bySymbol.get(symbol) ?? []), channel]);
    }
    const to = new Date().toISOString();
    return [...bySymbol].map(([symbol, names]) => ({
      T: "gap", S: symbol, from: this.#cursorAt, to, state: "lost", channels: names,
    }));
  }

  /** @param {number} code @param {string} words */
  #refuse(code, words) {
    const sent = this.#sent;
    if (NO_ENTRY.includes(code)) return this.#noEntry(code, words);
    if (!sent || OF_THE_CONNECTION.includes(code)) return this.#emit("problem", new Refused(code, words));
    this.#sent = null;
    if (sent.request.action === "auth") {
      if (code === ALREADY_AUTHENTICATED) this.#enter();
      else this.#noEntry(code, words);
    } else if ("resume" in sent.request && (code === 400 || code === INTERNAL)) {
      const { resume: _, ...request } = sent.request;
      this.#sent = { ...sent, request, isLost: true };
      this.#send(this.#sent);
    } else if (sent.ask) {
      this.#asks.shift();
      sent.ask.reject(new Refused(code, words));
    } else this.#end(new Refused(code, words)); // what was accepted before is not any more
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
    if (error instanceof Refused) this.#emit("problem", error);
    this.#tell({ phase: "closed", reason: error.message, attempt: this.#attempt, retryAt: 0 });
  }

  #stopTimers() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  /** @param {State} state */
  #tell(state) {
    this.state = state;
    this.#emit("state", state);
  }

  /** @param {keyof Events} kind @param {any} value */
  #emit(kind, value) {
    for (const handler of this.#handlers.get(kind) ?? []) handler(value);
  }
}

/**
 * Open a gateway's stream, and keep it open.
 * @param {string} url as `ws://127.0.0.1:8080`; `http`, `https` and `wss` will do as well
 * @param {Options} [options]
 * @returns {Stream}
 */
export function connect(url, options) {
  const stream = new Stream(url, options);
  stream.connect();
  return stream;
}

/**
 * @typedef {{start?: string, end?: string, sort?: "asc" | "desc", fill?: "previous", limit?: number,
 *   signal?: AbortSignal}} Span `limit` is that of all pages together
 */

/** Asks a gateway for history and latest values. Every request has a deadline. */
export class Client {
  #base;
  #options;

  /**
   * @param {string} url as `http://127.0.0.1:8080`; that of the stream will do as well
   * @param {{key?: string, secret?: string, token?: Token, credentials?: Options["credentials"],
   *   timeoutMs?: number, retries?: number, fetch?: typeof globalThis.fetch}} [options]
   */
  constructor(url, options = {}) {
    this.#base = base(url, "http");
    this.#options = options;
  }

  /**
   * Closed bars, by symbol, then by time, all pages. Each carries `S` and `tf`.
   * @param {string | string[]} symbols
   * @param {string} timeframe as `5Min`
   * @param {Span} [span] from the begin of the current day (UTC) up to now
   * @returns {Promise<(Omit<Bar, "T"> & {tf: string})[]>}
   */
  async bars(symbols, timeframe, span = {}) {
    /** @type {any[]} */
    const found = [];
    for await (const [S, row] of this.#rows("/v1/bars", "bars", symbols, { timeframe, ...span })) {
      found.push({ S, tf: timeframe, ...row });
    }
    return found;
  }

  /**
   * Trades, by symbol, then by time, all pages; `missing` of the list says by symbol what is not
   * there (any more).
   * @param {string | string[]} symbols
   * @param {Span} [span]
   * @returns {Promise<Omit<Trade, "T">[] & {missing: Record<string, string>}>}
   */
  async trades(symbols, span = {}) {
    /** @type {any} */
    const found = Object.assign([], { missing: {} });
    for await (const [S, row] of this.#rows("/v1/trades", "trades", symbols, span, found.missing)) {
      found.push({ S, ...row });
    }
    return found;
  }

  /** The newest bar of each symbol. @param {string | string[]} symbols @param {string} timeframe @returns {Promise<Record<string, any>>} */
  latestBars(symbols, timeframe) {
    return this.#merged("/v1/bars/latest", "bars", symbols, { timeframe });
  }

  /** The last trade of each symbol. @param {string | string[]} symbols @returns {Promise<Record<string, any>>} */
  latestTrades(symbols) {
    return this.#merged("/v1/trades/latest", "trades", symbols, {});
  }

  /** Last trade, minute, day and day before of each. @param {string | string[]} symbols @returns {Promise<Record<string, any>>} */
  snapshots(symbols) {
    return this.#merged("/v1/snapshots", "snapshots", symbols, {});
  }

  /** What venues carry. @param {string} [query] a part of the name @returns {Promise<{symbol: string, venue: string, ticker: string, last_trade: any}[]>} */
  async symbols(query) {
    return (await this.get("/v1/symbols", { query })).symbols;
  }

  /** Feeds, roles, lag, clients. @returns {Promise<any>} */
  status() {
    return this.get("/v1/status");
  }

  /**
   * The JSON of an answer.
   * @param {string} path
   * @param {Record<string, string | number | undefined>} [parameters]
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   * @throws {Refused | Unreachable} or what *signal* was aborted with
   */
  async get(path, parameters = {}, signal) {
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    const url = `${this.#base}${path}${query.size ? `?${query}` : ""}`;
    for (let attempt = 0; ; attempt += 1) {
      const { answer, error, afterMs } = await this.#once(url, signal);
      if (!error) return answer;
      if (afterMs === null || attempt >= (this.#options.retries ?? 3)) throw error;
      const wait = afterMs ?? waitMs(attempt, Math.random(), { firstMs: 500, capMs: 8000 });
      await new Promise((resolve) => setTimeout(resolve, wait));
      signal?.throwIfAborted();
    }
  }

  /**
   * `afterMs`: when to ask again; undefined: soon, null: never.
   * @param {string} url
   * @param {AbortSignal} [signal]
   * @returns {Promise<{answer?: any, error?: Error, afterMs?: number | null}>}
   */
  async #once(url, signal) {
    const timeoutMs = this.#options.timeoutMs ?? 30_000;
    const deadline = AbortSignal.timeout(timeoutMs);
    /** @type {Response} */
    let response;
    /** @type {any} */
    let answer;
    try {
      response = await (this.#options.fetch ?? globalThis.fetch)(url, {
        headers: await this.#headers(),
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      });
      const text = await response.text();
      answer = readJson(text);
    } catch (error) {
      if (signal?.aborted) throw error;
      const words = deadline.aborted ? `no answer within ${timeoutMs / 1000} s` : "no connection";
      return { error: new Unreachable(`${this.#base} cannot be reached: ${words}`) };
    }
    if (response.ok && answer !== null) return { answer };
    return refusal(response, answer);
  }

  async #headers() {
    const given = this.#options.credentials?.() ?? this.#options;
    const token = typeof given.token === "function" ? await given.token() : given.token;
    /** @type {Record<string, string>} */
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    else if (given.key) {
      headers["APCA-API-KEY-ID"] = given.key;
      headers["APCA-API-SECRET-KEY"] = given.secret ?? "";
    }
    return headers;
  }

  /**
   * Page after page, row after row.
   * @param {string} path
   * @param {string} name of the rows in the answer
   * @param {string | string[]} symbols
   * @param {Span & {timeframe?: string}} span
   * @param {Record<string, string>} [missing] is told what the gateway does not have
   * @returns {AsyncGenerator<[string, any]>}
   */
  async *#rows(path, name, symbols, { signal, limit = Infinity, ...parameters }, missing = {}) {
    let left = limit;
    for (const some of chunks(symbols)) {
      let token = "";
      do {
        if (left <= 0) return;
        const size = Math.min(left, PAGE_ROWS);
        const query = { symbols: some, ...parameters, limit: size, page_token: token };
        const page = await this.get(path, query, signal);
        Object.assign(missing, page.missing);
        for (const [symbol, rows] of Object.entries(page[name])) {
          left -= rows.length;
          for (const row of rows) yield [symbol, row];
        }
        token = page.next_page_token ?? "";
      } while (token);
    }
  }

  /** @param {string} path @param {string} name @param {string | string[]} symbols @param {Record<string, string>} parameters */
  async #merged(path, name, symbols, parameters) {
    /** @type {Record<string, any>} */
    const found = {};
    for (const some of chunks(symbols)) {
      Object.assign(found, (await this.get(path, { symbols: some, ...parameters }))[name]);
    }
    return found;
  }
}

/** @param {string} text */
function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's page, perhaps
  }
}

/** Lists of symbols of a request's length. @param {string | string[]} symbols @returns {string[]} */
function chunks(symbols) {
  const names = typeof symbols === "string" ? [symbols] : symbols;
  const lists = [];
  for (let from = 0; from < names.length; from += SYMBOLS_AT_ONCE) {
    lists.push(names.slice(from, from + SYMBOLS_AT_ONCE).join(","));
  }
  return lists;
}

/** @param {Response} response @param {any} answer @returns {{error: Error, afterMs?: number | null}} */
function refusal(response, answer) {
  const { status } = response;
  const words = answer?.message ?? `HTTP ${status} ${response.statusText}`;
  const error = status === 401 ? new AuthFailed(status, words) : new Refused(status, words);
  if (![429, 502, 503, 504].includes(status)) return { error, afterMs: null };
  const after = Number(response.headers.get("Retry-After") ?? NaN);
  return { error, afterMs: Number.isFinite(after) ? Math.min(after * 1000, LONGEST_RETRY_MS) : undefined };
}
