/** Bars of an hour, four hours, a day: rolled up from shorter ones as these come. Pure. */

import { supersedes } from "./bars.js";

/** @typedef {import("./bars.js").Bar} Bar */

const KEPT_WINDOWS = 3; // the running one and the ones that late trades still change often

/** Sum of shorter bars. @param {Bar[]} bars oldest first, at least one @param {number} start @returns {Omit<Bar, "final">} */
function sum(bars, start) {
  const volume = bars.reduce((all, bar) => all + bar.volume, 0);
  const turnover = bars.reduce((all, bar) => all + (bar.vwap ?? bar.close) * bar.volume, 0);
  const high = Math.max(...bars.map((bar) => bar.high));
  const low = Math.min(...bars.map((bar) => bar.low));
  return {
    time: start,
    open: bars[0].open,
    high,
    low,
    close: bars[bars.length - 1].close,
    volume,
    trades: bars.reduce((all, bar) => all + bar.trades, 0),
    // Rounded, an average may lie beyond the prices, by its last bit.
    vwap: volume > 0 ? Math.min(Math.max(turnover / volume, low), high) : null,
    rev: bars.reduce((all, bar) => all + bar.rev, 0),
    gap: bars.some((bar) => bar.gap),
  };
}

/** The newest windows with the shorter bars in them; memory: as many as fit in KEPT_WINDOWS. */
export class Roller {
  #seconds;
  /** Window start to the bars in it, by their start. @type {Map<number, Map<number, Bar>>} */
  #windows = new Map();
  /** The first window of which every shorter bar is here. */
  #fullFrom = Infinity;

  /** @param {number} seconds length of a window; windows begin at whole multiples of it, in UTC */
  constructor(seconds) {
    this.#seconds = seconds;
  }

  /**
   * Take the newest stored bars in, besides what the stream has brought already.
   * @param {Bar[]} bars newest first, without a hole
   * @param {boolean} isAll whether there are no older ones
   */
  load(bars, isAll) {
    for (const bar of bars) this.#place(bar);
    const oldest = bars.at(-1)?.time;
    if (isAll) this.#fullFrom = -Infinity;
    else if (oldest !== undefined) this.#fullFrom = Math.ceil(oldest / this.#seconds) * this.#seconds;
    this.#forget();
  }

  /**
   * @param {Bar} bar
   * @returns {number} start of its window; whether that can be rolled, `bar()` tells
   */
  put(bar) {
    const start = this.#place(bar);
    this.#forget();
    return start;
  }

  /** Whether all of a window's shorter bars are here. @param {number} start */
  isWhole(start) {
    return start >= this.#fullFrom;
  }

  /** Starts of the windows that are whole, oldest first. */
  whole() {
    return [...this.#windows.keys()].filter((start) => this.isWhole(start)).sort((a, b) => a - b);
  }

  /**
   * A window's bar; without trades where all of them were cancelled.
   * @param {number} start of a window that is whole
   * @returns {Bar}
   */
  bar(start) {
    const bars = [...(this.#windows.get(start)?.values() ?? [])]
      .filter((bar) => bar.trades)
      .sort((a, b) => a.time - b.time);
    const isOver = Math.max(...this.#windows.keys()) > start;
    if (!bars.length) {
      return {
        time: start, open: 0, high: 0, low: 0, close: 0, volume: 0, trades: 0, vwap: null, rev: 0,
        gap: false, final: isOver,
      };
    }
    return { ...sum(bars, start), final: isOver && bars.every((bar) => bar.final) };
  }

  /** @param {Bar} bar */
  #place(bar) {
    const start = bar.time - (bar.time % this.#seconds);
    const window = this.#windows.get(start) ?? new Map();
    this.#windows.set(start, window);
    const old = window.get(bar.time);
    // An emptied bar is kept, so that an older message cannot bring its trades back.
    if (!old || supersedes(old, bar)) window.set(bar.time, bar);
    return start;
  }

  /** Drop the oldest windows; what they were is history's to say. */
  #forget() {
    const starts = [...this.#windows.keys()].sort((a, b) => b - a);
    for (const start of starts.slice(KEPT_WINDOWS)) this.#windows.delete(start);
    if (starts.length > KEPT_WINDOWS) {
      this.#fullFrom = Math.max(this.#fullFrom, starts[KEPT_WINDOWS - 1]);
    }
  }
}
