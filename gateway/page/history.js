/** One symbol and timeframe on the chart: pages of history and live bars in one series. */

import { BarSeries, barFromWire } from "./bars.js";
import { Roller } from "./roll.js";
import { SECONDS, streamedFor, windowStart } from "./timeframes.js";

/** @typedef {import("./bars.js").Bar} Bar */
/** @typedef {import("./timeframes.js").Timeframe} Timeframe */

const FIRST_DAY = "1990-01-01"; // nothing older is ever stored
const PAGE_BARS = 1000;
const MAX_HEAL_PAGES = 10; // a longer outage starts the chart anew
const ROLLED_WINDOWS = 2; // so many are rolled up here: the running one and the one before
const REVISED_AFTER_MS = 500; // revisions of older windows come in flocks: asked for together
const MAX_REVISED = 20; // more of them at a time are cheaper as a page

/**
 * @typedef {object} HistoryEvents
 * @property {() => void} onReset the whole series changed
 * @property {(time: number) => void} onBar one bar changed
 * @property {(error: Error | null) => void} onError loading failed, or works again
 * @property {(error: Error) => void} onBehind bars that should be here did not come: refresh later
 * @property {() => void} onShort the page before the oldest bar did not come: ask for it later
 */

export class History {
  #client;
  #events;
  #series = new BarSeries();
  #abort = new AbortController();
  /** Makes the newest bars where the stream carries shorter ones only. @type {Roller | null} */
  #roller;
  /** Windows that changed behind the ones rolled up here. @type {Set<number>} */
  #revised = new Set();
  /** @type {string | null} */
  #next = null;
  /** Loads that wait for their turn, and the one under way. */
  #loads = 0;
  /** The newest trade seen. */
  #trade = { timeMs: -Infinity, start: -1, price: NaN, size: NaN };
  /** Loads wait for the one before. @type {Promise<void>} */
  #turn = Promise.resolve();
  /** Older bars may exist. */
  hasMore = true;
  /** The newest page has been loaded. */
  isLoaded = false;

  /**
   * @param {import("./tickgate.js").Client} client
   * @param {string} symbol
   * @param {Timeframe} timeframe
   * @param {HistoryEvents} events
   */
  constructor(client, symbol, timeframe, events) {
    this.#client = client;
    this.#events = events;
    this.symbol = symbol;
    this.timeframe = timeframe;
    /** The timeframe of the bars that the stream brings. */
    this.streamed = streamedFor(timeframe);
    this.#roller = this.streamed === timeframe ? null : new Roller(SECONDS[timeframe]);
  }

  get bars() {
    return this.#series.bars;
  }

  get series() {
    return this.#series;
  }

  get isLoading() {
    return this.#loads > 0;
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
    return this.#queue(() => this.#newest(), this.#events.onBehind);
  }

  /** Load the page before the oldest bar; no effect while something is loading, or is about to. */
  older() {
    if (this.isLoading || !this.isLoaded || !this.hasMore) return this.#turn;
    return this.#queue(() => this.#before(), this.#events.onShort);
  }

  async #newest() {
    const known = this.isLoaded ? this.#series.lastFinal?.time : undefined;
    const before = [...this.#series.bars];
    let page = await this.#page(null);
    const found = [...page.bars];
    for (let pages = 1; known !== undefined && page.next && pages < MAX_HEAL_PAGES; pages += 1) {
      if (page.bars.some((bar) => bar.time <= known)) break;
      page = await this.#page(page.next);
      found.push(...page.bars);
    }
    await this.#loadShorter();
    const oldest = page.bars.at(-1)?.time;
    const hasHole = known === undefined || (oldest ?? known) > known;
    if (hasHole) {
      // The first load, or away for too long: what is before these pages loads (again) on demand.
      if (page.next && oldest !== undefined) this.#series.dropBefore(oldest);
      this.#setNext(page.next);
    }
    if (known !== undefined) this.#dropGone(before, found, page.next && oldest ? oldest : -Infinity, known);
    this.isLoaded = true;
    // What was rolled up here may have a hole from an outage; what is whole follows.
    this.#series.putAll(found, this.#roller !== null);
    this.#rollUp();
  }

  /**
   * Take the bars away that have lost their last trade since they came here.
   * @param {readonly Bar[]} before those that were here when the pages were asked for
   * @param {readonly Bar[]} found all that there are between the two times
   * @param {number} from start of the first
   * @param {number} to start of the last
   */
  #dropGone(before, found, from, to) {
    const there = new Set(found.map((bar) => bar.time));
    for (const bar of before) {
      const isRead = bar.time >= from && bar.time <= to;
      const isSame = this.#series.at(bar.time) === bar; // another one came live meanwhile
      if (isRead && isSame && !there.has(bar.time)) this.#series.remove(bar.time);
    }
  }

  async #before() {
    const page = await this.#page(this.#next);
    this.#setNext(page.next);
    this.#series.putAll(page.bars);
  }

  /** The bars that the newest windows are made of. */
  async #loadShorter() {
    if (!this.#roller) return;
    const limit = (ROLLED_WINDOWS * SECONDS[this.timeframe]) / SECONDS[this.streamed];
    const page = await this.#read(this.streamed, { limit });
    this.#roller.load(page.bars, page.next === null);
  }

  #rollUp() {
    for (const start of this.#roller?.whole() ?? []) {
      this.#series.set(/** @type {Roller} */ (this.#roller).bar(start));
    }
    this.#catchUp();
  }

  /** @param {string | null} token */
  #setNext(token) {
    this.#next = token;
    this.hasMore = token !== null;
  }

  /** Take a bar of the stream in. @param {any} message {T: "b" | "u" | "r", …} */
  takeBar(message) {
    const bar = barFromWire(message, message.T !== "r");
    if (this.#roller) this.#takeShorter(this.#roller, bar);
    else if (!this.#isUnseen(bar.time)) this.#tell(this.#series.put(bar), bar.time);
    if (message.T === "r" && (this.isLoaded || !this.#roller)) this.#catchUp();
  }

  /** A running bar takes the longer way and is older than the trades seen: do not step back. */
  #catchUp() {
    const { start, price, size } = this.#trade;
    if (start === this.#series.last?.time) this.#series.touch(start, price, size, true);
  }

  /** A bar that has not been scrolled to: history will bring it. @param {number} time */
  #isUnseen(time) {
    const first = this.#series.bars[0];
    return this.isLoaded && this.hasMore && first !== undefined && time < first.time;
  }

  /** @param {Roller} roller @param {Bar} bar */
  #takeShorter(roller, bar) {
    const start = roller.put(bar);
    if (!this.isLoaded) return; // rolled up with what is loading
    if (!roller.isWhole(start)) {
      if (!this.#isUnseen(start)) this.#askAgain(start);
      return;
    }
    const before = start - SECONDS[this.timeframe];
    const isFirst = this.#series.at(start) === undefined;
    this.#tell(this.#series.set(roller.bar(start)), start);
    // The window before has ended with that.
    if (isFirst && roller.whole().includes(before)) {
      this.#tell(this.#series.set(roller.bar(before)), before);
    }
  }

  /** Ask the server for a window that cannot be rolled up here. @param {number} start */
  #askAgain(start) {
    if (!this.#revised.size) setTimeout(() => this.#loadRevised(), REVISED_AFTER_MS);
    this.#revised.add(start);
  }

  #loadRevised() {
    const starts = [...this.#revised];
    this.#revised.clear();
    if (starts.length > MAX_REVISED) {
      this.refresh();
      return;
    }
    this.#queue(() => this.#again(starts), this.#events.onBehind);
  }

  /** @param {number[]} starts */
  async #again(starts) {
    for (const start of starts) {
      const window = new Date(start * 1000).toISOString();
      const { bars } = await this.#read(this.timeframe, { limit: 1, start: window, end: window });
      if (bars.length) this.#series.set(bars[0]);
      else this.#series.remove(start);
    }
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
    return this.#read(this.timeframe, { limit: PAGE_BARS, token });
  }

  /**
   * One page of closed bars, newest first.
   * @param {Timeframe} timeframe
   * @param {{limit: number, token?: string | null, start?: string, end?: string}} span
   */
  async #read(timeframe, span) {
    const { bars, next } = await this.#client.barsPage(this.symbol, timeframe, {
      start: FIRST_DAY, sort: "desc", signal: this.#abort.signal, ...span,
    });
    return { bars: bars.map((bar) => barFromWire(bar, true)), next };
  }

  /**
   * One load at a time, its failure told.
   * @param {() => Promise<void>} load
   * @param {(error: Error) => void} [onFailure] where nothing else asks again
   */
  #queue(load, onFailure) {
    this.#loads += 1;
    this.#turn = this.#turn.then(() => this.#load(load, onFailure));
    return this.#turn;
  }

  /** @param {() => Promise<void>} load @param {(error: Error) => void} [onFailure] */
  async #load(load, onFailure) {
    let failure = null;
    try {
      if (!this.#abort.signal.aborted) await load();
    } catch (error) {
      failure = /** @type {Error} */ (error);
    }
    this.#loads -= 1;
    if (this.#abort.signal.aborted) return;
    this.#events.onError(failure);
    if (failure) onFailure?.(failure);
    else this.#events.onReset();
  }
}
