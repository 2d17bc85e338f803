/** The day of each symbol that is shown, and the line of its last hours: asked for when due. */

import { Backoff, mayPass } from "./backoff.js";

/**
 * @typedef {object} DaysOptions
 * @property {import("./session.js").Session} session
 * @property {import("./sparks.js").Sparks} sparks
 * @property {() => readonly string[]} listed symbols of the watch-list
 * @property {() => readonly string[]} charted known symbols of the charts
 * @property {(symbols: readonly string[]) => void} onLines there are new lines of these
 * @property {(error: unknown) => void} onError
 */

export class Days {
  #options;
  /** Symbols whose day was asked for on this connection, and not in vain. @type {Set<string>} */
  #asked = new Set();
  #utcDay = "";
  #backoff = new Backoff();

  /** @param {DaysOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** What is known may be old: the connection was lost. */
  forget() {
    this.#asked.clear();
    this.#backoff.reset();
    this.#options.sparks.forget();
  }

  /** The days of the charts' symbols anew: their volume grows. */
  renew() {
    this.#load(this.#options.charted());
  }

  /** To be called once a second: ask for what is shown and was not asked for yet. */
  complete() {
    const { session, sparks, listed, charted, onLines, onError } = this.#options;
    if (document.hidden || !session.stream.isSubscribed) return;
    const serverMs = session.serverMs();
    const day = new Date(serverMs).toISOString().slice(0, 10);
    if (day !== this.#utcDay) this.#asked.clear(); // yesterday is another day now
    this.#utcDay = day;
    const symbols = listed();
    if (this.#backoff.isDue) this.#ask(new Set([...symbols, ...charted()]));
    sparks.renew(symbols, serverMs).then((isNew) => isNew && onLines(symbols), onError);
  }

  /** @param {Set<string>} shown */
  async #ask(shown) {
    const missing = [...shown].filter((symbol) => !this.#asked.has(symbol));
    if (!missing.length) return;
    for (const symbol of missing) this.#asked.add(symbol);
    const error = await this.#load(missing);
    if (!error) this.#backoff.reset();
    else if (mayPass(error)) {
      for (const symbol of missing) this.#asked.delete(symbol);
      this.#backoff.failed();
    }
  }

  /** @param {readonly string[]} symbols @returns {Promise<unknown>} what went wrong, which has been told */
  async #load(symbols) {
    const { session, onError } = this.#options;
    if (!symbols.length || document.hidden || !session.stream.isSubscribed) return null;
    try {
      await session.loadSnapshots(symbols);
      return null;
    } catch (error) {
      onError(error);
      return error;
    }
  }
}
