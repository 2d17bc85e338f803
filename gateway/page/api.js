/** The HTTP API: history, snapshots, status. Every request has a deadline. */

import { barFromWire } from "./bars.js";

const TIMEOUT_MS = 30_000; // as long as the server itself allows a request
const FIRST_DAY = "1990-01-01T00:00:00Z"; // nothing older is ever stored

/** An answer that is not the one asked for, in words a person can act on. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status HTTP status; 0 when there was no answer */
  constructor(message, status) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/** @param {number} status */
function wordsFor(status) {
  if (status === 401 || status === 403) return "This gateway asks for an API key.";
  if (status === 429) return "Too many requests: the gateway asks this page to slow down.";
  if (status >= 500) return "The gateway cannot answer just now.";
  return `The gateway answered with status ${status}.`;
}

/** @param {number} seconds UNIX time */
function rfc3339(seconds) {
  return new Date(seconds * 1000).toISOString();
}

/** @typedef {{bars: import("./bars.js").Bar[], next: string | null}} BarPage */

export class Api {
  #base;
  #credentials;

  /**
   * @param {{base?: string, credentials: () => {id: string, secret: string} | null}} options
   */
  constructor({ base = "", credentials }) {
    this.#base = base;
    this.#credentials = credentials;
  }

  /**
   * One page of a symbol's closed bars, newest first.
   * @param {string} symbol
   * @param {import("./timeframes.js").Timeframe} timeframe
   * @param {{limit: number, token?: string | null, from?: number, to?: number,
   *   signal?: AbortSignal}} options `from` and `to`: first and last start of a bar, UNIX seconds
   * @returns {Promise<BarPage>}
   */
  async bars(symbol, timeframe, { limit, token, from, to, signal }) {
    const query = new URLSearchParams({
      symbols: symbol, timeframe, sort: "desc", limit: String(limit),
      start: from === undefined ? FIRST_DAY : rfc3339(from),
    });
    if (to !== undefined) query.set("end", rfc3339(to));
    if (token) query.set("page_token", token);
    const answer = await this.#get(`/v1/bars?${query}`, signal);
    const rows = Object.values(answer.bars ?? {}).flat(); // one symbol was asked for
    return {
      bars: rows.map((row) => barFromWire(row, true)),
      next: answer.next_page_token ?? null,
    };
  }

  /**
   * Closes of the newest bars of many symbols, oldest first.
   * @param {string[]} symbols
   * @param {import("./timeframes.js").Timeframe} timeframe
   * @param {number} from first start of a bar, UNIX seconds
   * @returns {Promise<Map<string, number[]>>}
   */
  async closes(symbols, timeframe, from) {
    const query = new URLSearchParams({
      symbols: symbols.join(","), timeframe, start: rfc3339(from), limit: "10000",
    });
    const answer = await this.#get(`/v1/bars?${query}`);
    return new Map(
      Object.entries(answer.bars ?? {}).map(([symbol, rows]) => [
        symbol, /** @type {any[]} */ (rows).map((row) => row.c),
      ]),
    );
  }

  /** Every symbol the gateway knows. @returns {Promise<string[]>} */
  async symbols() {
    const answer = await this.#get("/v1/symbols");
    return (answer.symbols ?? []).map((/** @type {any} */ entry) =>
      typeof entry === "string" ? entry : entry.symbol,
    );
  }

  /**
   * Last trade and daily bars of many symbols.
   * @param {string[]} symbols
   * @returns {Promise<Record<string, any>>}
   */
  async snapshots(symbols) {
    const query = new URLSearchParams({ symbols: symbols.join(",") });
    const answer = await this.#get(`/v1/snapshots?${query}`);
    return answer.snapshots ?? answer;
  }

  /** The roles' and feeds' state. @returns {Promise<any>} */
  status() {
    return this.#get("/v1/status");
  }

  /** @param {string} path @param {AbortSignal} [signal] */
  async #get(path, signal) {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    const key = this.#credentials();
    /** @type {Response} */
    let response;
    try {
      response = await fetch(this.#base + path, {
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
        headers: key ? { "APCA-API-KEY-ID": key.id, "APCA-API-SECRET-KEY": key.secret } : {},
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(
        deadline.aborted
          ? `The gateway did not answer within ${TIMEOUT_MS / 1000} s.`
          : "The gateway cannot be reached.",
        0,
      );
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer;
    throw new ApiError(answer?.message ?? wordsFor(response.status), response.status);
  }
}
