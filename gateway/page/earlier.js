/** The trades before the live ones: read once the history has caught up with the stream. */

import { Backoff, mayPass } from "./backoff.js";
import { ClientError } from "./tickgate.js";

const AGAIN_MS = 3000; // the history is some seconds behind the stream
const MAX_ASKED = 6;

export class Earlier {
  #client;
  #tape;
  /** @type {string | null} */
  #symbol = null;
  #abort = new AbortController();
  #asked = 0;
  #nextMs = 0;
  #backoff = new Backoff();

  /**
   * @param {import("./tickgate.js").Client} client
   * @param {import("./tape.js").TapeView} tape
   */
  constructor(client, tape) {
    this.#client = client;
    this.#tape = tape;
  }

  /** To be called once a second, and when another symbol is chosen. */
  complete() {
    const { symbol, wanting } = this.#tape;
    if (symbol !== this.#symbol || !wanting) this.#begin(symbol);
    if (!symbol || !wanting || document.hidden) return;
    if (this.#asked >= MAX_ASKED || performance.now() < this.#nextMs || !this.#backoff.isDue) return;
    this.#asked += 1;
    this.#nextMs = Infinity; // while it is asked for
    this.#ask(symbol, wanting, this.#abort.signal);
  }

  /** @param {string | null} symbol */
  #begin(symbol) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#symbol = symbol;
    this.#asked = 0;
    this.#nextMs = 0;
    this.#backoff.reset();
  }

  /** @param {string} symbol @param {{fromMs: number, toMs: number}} span @param {AbortSignal} signal */
  async #ask(symbol, { fromMs, toMs }, signal) {
    try {
      const trades = await this.#client.trades(symbol, {
        start: new Date(fromMs).toISOString(), end: new Date(toMs).toISOString(),
        sort: "desc", limit: this.#tape.room, signal,
      });
      if (signal.aborted) return;
      this.#backoff.reset();
      this.#tape.join(trades);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ClientError)) throw error;
      // A key that may not read history: the tape has what comes live, and that is no news.
      if (!mayPass(error)) this.#asked = MAX_ASKED;
      else {
        this.#asked -= 1; // it says nothing of how far the history is
        this.#backoff.failed();
      }
    }
    this.#nextMs = performance.now() + AGAIN_MS;
  }
}
