/** History and latest values of a gateway, over HTTP. */

import { addressOf, ambient, credentialsOf } from "./access.js";
import { AuthFailed, Refused, Unreachable } from "./errors.js";
import { namesOf } from "./messages.js";
import { checkedSpan } from "./spans.js";
import { waitMs } from "./waits.js";

const PAGE_ROWS = 10_000; // the most that a gateway gives at once
const SYMBOLS_AT_ONCE = 200; // so that the line of a request stays short
const LONGEST_RETRY_MS = 60_000; // limits are counted by the minute

/** @typedef {import("./messages.js").Bar} Bar */
/** @typedef {import("./messages.js").Trade} Trade */

/**
 * @typedef {{start?: string | Date, end?: string | Date, sort?: "asc" | "desc", fill?: "previous",
 *   limit?: number, signal?: AbortSignal}} Span times are RFC 3339 text, a date, or a Date; `limit`
 *   is that of all pages together
 */

/** Asks a gateway for history and latest values. Every request has a deadline. */
export class Client {
  #base;
  #options;

  /**
   * @param {string} url as `http://127.0.0.1:8080`; that of the stream will do as well
   * @param {import("./access.js").Access & {timeoutMs?: number, retries?: number,
   *   fetch?: typeof globalThis.fetch}} [options]
   */
  constructor(url, options = {}) {
    this.#base = addressOf(url, "http");
    this.#options = options;
  }

  /**
   * Closed bars, by symbol, then by time, all pages. Each carries `S` and `tf`. Within a page, names
   * that are whole numbers come first, as JavaScript has the keys of objects.
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
   * One page of closed bars, for those who read on when they need more.
   * @param {string | string[]} symbols at most 200
   * @param {string} timeframe
   * @param {Span & {token?: string | null}} [span] `limit` up to 10,000; `token`: `next` of the
   *   page before
   * @returns {Promise<{bars: (Omit<Bar, "T"> & {tf: string})[], next: string | null}>}
   */
  async barsPage(symbols, timeframe, { token, signal, ...span } = {}) {
    const query = { symbols: namesOf("symbols", symbols).join(), timeframe, ...checkedSpan(span), page_token: token ?? "" };
    const { rows, next } = await this.#page("/v1/bars", "bars", query, signal);
    return { bars: rows.map(([S, row]) => ({ S, tf: timeframe, ...row })), next };
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
   * @throws {Refused | Unreachable} or what *signal* was aborted with, or what the function that
   *   gets tokens throws
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
      await pause(wait, signal);
    }
  }

  /**
   * `afterMs`: when to ask again; undefined: soon, null: never.
   * @param {string} url
   * @param {AbortSignal} [signal]
   * @returns {Promise<{answer?: any, error?: Error, afterMs?: number | null}>}
   */
  async #once(url, signal) {
    const headers = await this.#headers(); // what a caller's own function throws is no lost connection
    const timeoutMs = this.#options.timeoutMs ?? 30_000;
    const deadline = AbortSignal.timeout(timeoutMs);
    /** @type {Response} */
    let response;
    /** @type {any} */
    let answer;
    try {
      response = await (this.#options.fetch ?? globalThis.fetch)(url, {
        headers,
        credentials: ambient(),
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
    const { key, secret, token } = await credentialsOf(this.#options);
    /** @type {Record<string, string>} */
    const headers = {};
    if (token) headers.Authorization = `Bearer ${sayable("token", token)}`;
    else if (key) {
      headers["APCA-API-KEY-ID"] = sayable("key", key);
      headers["APCA-API-SECRET-KEY"] = sayable("secret", secret ?? "");
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
  async *#rows(path, name, symbols, span, missing = {}) {
    const { signal, limit = Infinity, ...parameters } = checkedSpan(span);
    let left = limit;
    for (const some of chunks(symbols)) {
      let token = "";
      do {
        if (left <= 0) return;
        const size = Math.min(left, PAGE_ROWS);
        const query = { symbols: some, ...parameters, limit: size, page_token: token };
        const page = await this.#page(path, name, query, signal);
        Object.assign(missing, page.missing);
        left -= page.rows.length;
        yield* page.rows;
        token = page.next ?? "";
      } while (token);
    }
  }

  /**
   * @param {string} path
   * @param {string} name of the rows in the answer
   * @param {Record<string, string | number | undefined>} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<{rows: [string, any][], next: string | null, missing?: Record<string, string>}>}
   */
  async #page(path, name, query, signal) {
    const { next_page_token: next, missing, ...answer } = await this.get(path, query, signal);
    const rows = Object.entries(answer[name] ?? {}).flatMap(([symbol, some]) =>
      some.map((/** @type {any} */ row) => /** @type {[string, any]} */ ([symbol, row])),
    );
    return { rows, next: next ?? null, missing };
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

/**
 * What a header can carry; the browser's own error would be taken for a lost connection.
 * @param {string} name
 * @param {string} value
 * @throws {AuthFailed} it cannot; the value is not told
 */
function sayable(name, value) {
  if (/^[\x20-\x7e\xa0-\xff]*$/.test(value)) return value;
  const words = "text that an HTTP header can carry; is there a line break at its end?";
  throw new AuthFailed(401, `${name}: expected ${words}`);
}

/** @param {string} text */
function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's page, perhaps
  }
}

/**
 * Lists of symbols of a request's length, in the order in which the gateway gives their rows: by
 * name. Each symbol is in one of them.
 * @param {string | string[]} symbols
 * @returns {string[]}
 */
function chunks(symbols) {
  const names = [...new Set(namesOf("symbols", symbols))].sort(byFolded);
  const lists = [];
  for (let from = 0; from < names.length; from += SYMBOLS_AT_ONCE) {
    lists.push(names.slice(from, from + SYMBOLS_AT_ONCE).join(","));
  }
  return lists;
}

/** The order of names as the gateway folds them. @param {string} a @param {string} b */
function byFolded(a, b) {
  const [one, other] = [a, b].map((name) => name.toUpperCase().replaceAll("/", "-"));
  return one < other ? -1 : Number(one > other);
}

/**
 * Resolves after so long, and rejects as soon as *signal* is aborted, with its reason.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** @param {Response} response @param {any} answer @returns {{error: Error, afterMs?: number | null}} */
function refusal(response, answer) {
  const { status } = response;
  const words = answer?.message ?? `the gateway answered with status ${status}`;
  const error = status === 401 ? new AuthFailed(status, words) : new Refused(status, words);
  if (![429, 502, 503, 504].includes(status)) return { error, afterMs: null };
  const after = Number(response.headers.get("Retry-After") ?? NaN);
  return { error, afterMs: Number.isFinite(after) ? Math.min(after * 1000, LONGEST_RETRY_MS) : undefined };
}
