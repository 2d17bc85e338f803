/** What the page knows about symbols: last price, change, day. Pure. */

import { decimalsOf, foldSymbol, splitSymbol } from "./format.js";

const MAX_SHOWN_DECIMALS = 8;

/**
 * @typedef {object} Quote
 * @property {string} symbol
 * @property {string} ticker
 * @property {string} venue
 * @property {string} folded for searching
 * @property {number | null} price last trade
 * @property {number} timeMs event time of the last trade
 * @property {1 | -1 | 0} direction of the last change of price
 * @property {number | null} reference previous daily close, or the day's open
 * @property {number | null} high of the day
 * @property {number | null} low of the day
 * @property {number | null} volume of the day, as of the last snapshot
 * @property {number} decimals most digits after the point seen in a price
 */

export class Store {
  /** @type {Map<string, Quote>} */
  #quotes = new Map();
  /** @type {Map<string, string[]>} bare ticker, folded, to symbols */
  #bare = new Map();
  /** @type {Map<string, string>} */
  #full = new Map();

  get size() {
    return this.#quotes.size;
  }

  /** Symbols in alphabetical order. */
  symbols() {
    return [...this.#quotes.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  }

  /** @param {string | null} symbol @returns {Quote | undefined} */
  get(symbol) {
    return symbol === null ? undefined : this.#quotes.get(symbol);
  }

  /** Take a symbol in; false when it was there. @param {string} symbol */
  add(symbol) {
    if (this.#quotes.has(symbol)) return false;
    const { venue, ticker } = splitSymbol(symbol);
    this.#quotes.set(symbol, {
      symbol, venue, ticker, folded: foldSymbol(symbol), price: null, timeMs: 0, direction: 0,
      reference: null, high: null, low: null, volume: null, decimals: 0,
    });
    this.#full.set(foldSymbol(symbol), symbol);
    const bare = foldSymbol(ticker);
    this.#bare.set(bare, [...(this.#bare.get(bare) ?? []), symbol]);
    return true;
  }

  /** The known symbol a spelling names, or null. @param {string} text */
  resolve(text) {
    const folded = foldSymbol(text);
    const bare = this.#bare.get(folded) ?? [];
    return this.#full.get(folded) ?? (bare.length === 1 ? bare[0] : null);
  }

  /**
   * Take a trade in; an older one than is shown changes nothing.
   * @param {string} symbol
   * @param {number} price
   * @param {number} timeMs
   * @returns {boolean} whether it is the newest
   */
  trade(symbol, price, timeMs) {
    const quote = this.#quotes.get(symbol);
    if (!quote || timeMs < quote.timeMs) return false;
    if (quote.price !== null && price !== quote.price) {
      quote.direction = price > quote.price ? 1 : -1;
    }
    quote.price = price;
    quote.timeMs = timeMs;
    if (quote.high !== null) quote.high = Math.max(quote.high, price);
    if (quote.low !== null) quote.low = Math.min(quote.low, price);
    quote.reference ??= price;
    this.#widen(quote, price);
    return true;
  }

  /**
   * Take a snapshot in, as `/v1/snapshots` gives it.
   * @param {string} symbol
   * @param {any} snapshot {latestTrade, dailyBar, prevDailyBar}
   */
  snapshot(symbol, snapshot) {
    const quote = this.#quotes.get(symbol);
    if (!quote || !snapshot) return;
    const day = snapshot.dailyBar;
    const reference = snapshot.prevDailyBar?.c ?? day?.o;
    if (Number.isFinite(reference)) quote.reference = reference;
    if (day) {
      quote.high = day.h;
      quote.low = day.l;
      quote.volume = day.v;
      for (const price of [day.o, day.h, day.l, day.c]) this.#widen(quote, price);
    }
    const trade = snapshot.latestTrade;
    if (trade) this.trade(symbol, trade.p, Date.parse(trade.t));
    else if (day && quote.price === null) quote.price = day.c;
  }

  /** Let a symbol be shown with the digits of these prices. @param {string} symbol @param {number[]} prices */
  widen(symbol, ...prices) {
    const quote = this.#quotes.get(symbol);
    if (quote) for (const price of prices) this.#widen(quote, price);
  }

  /** Change since the reference as a fraction, or null. @param {Quote | undefined} quote */
  change(quote) {
    if (!quote || quote.price === null || !quote.reference) return null;
    return quote.price / quote.reference - 1;
  }

  /** @param {Quote} quote @param {number} price */
  #widen(quote, price) {
    if (quote.decimals >= MAX_SHOWN_DECIMALS) return;
    const digits = Math.min(MAX_SHOWN_DECIMALS, decimalsOf(price));
    if (digits > quote.decimals) quote.decimals = digits;
  }
}
