/** One symbol and timeframe on the chart: pages of history and live bars in one series. */

import { BarSeries, barFromWire } from "./bars.js";
import { windowStart } from "./timeframes.js";

/** @typedef {import("./bars.js").Bar} Bar */

const PAGE_BARS = 1000;
const MAX_HEAL_PAGES = 10; // a longer outage starts the chart anew

/**
 * @typedef {object} HistoryEvents
 * @property {() => void} onReset the whole series changed
 * @property {(time: number) => void} onBar one bar changed
 * @property {(error: Error | null) => void} onError loading failed, or works again
 */

export class History {
  #api;
  #events;
  #series = new BarSeries();
  #abort = new AbortController();
  /** @type {string | null} */
  #next = null;
  #loading = false;
  /** The newest trade seen. */
  #trade = { timeMs: -Infinity, start: -1, price: NaN, size: NaN };
  /** Loads wait for the one before. @type {Promise<void>} */
  #turn = Promise.resolve();
  /** Older bars may exist. */
  hasMore = true;
  /** The newest page has been loaded. */
  isLoaded = false;

  /**
   * @param {import("./api.js").Api} api
   * @param {string} symbol
   * @param {import("./timeframes.js").Timeframe} timeframe
   * @param {HistoryEvents} events
   */
  constructor(api, symbol, timeframe, events) {
    this.#api = api;
    this.#events = events;
    this.symbol = symbol;
    this.timeframe = timeframe;
  }

  get bars() {
    return this.#series.bars;
  }

  get series() {
    return this.#series;
  }

  get isLoading() {
    return this.#loading;
  }

  /** Stop loading: another chart is wanted. */
  dispose() {
    this.#abort.abort();
  }

  /**
   * Load the newest bars, or after an outage all that was missed: pages back to one that is
   * already known, so that no hole stays and revised bars are taken in.
   */
  refresh() {
    this.#turn = this.#turn.then(() => this.#load(() => this.#newest()));
    return this.#turn;
  }

  /** Load the page before the oldest bar; no effect while something is loading. */
  older() {
    if (this.#loading || !this.isLoaded || !this.hasMore) return this.#turn;
    this.#turn = this.#turn.then(() => this.#load(() => this.#before()));
    return this.#turn;
  }

  async #newest() {
    const known = this.isLoaded ? this.#series.lastFinal?.time : undefined;
    let page = await this.#page(null);
    const found = [...page.bars];
    for (let pages = 1; known !== undefined && page.next && pages < MAX_HEAL_PAGES; pages += 1) {
      if (page.bars.some((bar) => bar.time <= known)) break;
      page = await this.#page(page.next);
      found.push(...page.bars);
    }
    const oldest = page.bars.at(-1)?.time;
    const hasHole = known === undefined || (oldest ?? known) > known;
    if (hasHole) {
      // The first load, or away for too long: what is before these pages loads (again) on demand.
      if (page.next && oldest !== undefined) this.#series.dropBefore(oldest);
      this.#setNext(page.next);
    }
    this.isLoaded = true;
    this.#series.putAll(found);
  }

  async #before() {
    const page = await this.#page(this.#next);
    this.#setNext(page.next);
    this.#series.putAll(page.bars);
  }

  /** @param {string | null} token */
  #setNext(token) {
    this.#next = token;
    this.hasMore = token !== null;
  }

  /** Take a bar of the stream in. @param {any} message {T: "b" | "u" | "r", …} */
  takeBar(message) {
    const bar = barFromWire(message, message.T !== "r");
    const first = this.#series.bars[0];
    // A revision of a bar that has not been scrolled to: history will bring it.
    if (this.isLoaded && this.hasMore && first && bar.time < first.time) return;
    this.#tell(this.#series.put(bar), bar.time);
    // A running bar takes the longer way and is older than the trades seen: do not step back.
    const { start, price, size } = this.#trade;
    if (message.T === "r" && start === bar.time) this.#series.touch(start, price, size, true);
  }

  /** Let a trade move the running bar. @param {number} timeMs @param {number} price @param {number} size */
  takeTrade(timeMs, price, size) {
    const start = windowStart(Math.floor(timeMs / 1000), this.timeframe);
    const isNewest = timeMs >= this.#trade.timeMs;
    if (isNewest) this.#trade = { timeMs, start, price, size };
    if (this.isLoaded) this.#tell(this.#series.touch(start, price, size, isNewest), start);
  }

  /** @param {"append" | "replace" | "insert" | "remove" | "ignored"} outcome @param {number} time */
  #tell(outcome, time) {
    if (outcome === "insert" || outcome === "remove") this.#events.onReset();
    else if (outcome !== "ignored") this.#events.onBar(time);
  }

  /** @param {string | null} token */
  #page(token) {
    return this.#api.bars(this.symbol, this.timeframe, {
      limit: PAGE_BARS, token, signal: this.#abort.signal,
    });
  }

  /** One load at a time, its failure told. @param {() => Promise<void>} load */
  async #load(load) {
    if (this.#abort.signal.aborted) return;
    this.#loading = true;
    let failure = null;
    try {
      await load();
    } catch (error) {
      failure = /** @type {Error} */ (error);
    }
    this.#loading = false;
    if (this.#abort.signal.aborted) return;
    this.#events.onError(failure);
    if (!failure) this.#events.onReset();
  }
}
