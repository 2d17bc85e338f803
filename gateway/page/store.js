/** What the page knows about symbols: last price, change, day. Pure. */

import { decimalsOf, foldSymbol, splitSymbol } from "./format.js";

const MAX_SHOWN_DECIMALS = 8;
const DAY_MS = 86_400_000;
const ALPHABET = new Intl.Collator("en", { numeric: true }); // many times faster than localeCompare

/** The UTC day that holds a time, as a number. @param {number} timeMs */
function dayOf(timeMs) {
  return Math.floor(timeMs / DAY_MS);
}

/**
 * @typedef {object} Quote
 * @property {string} symbol
 * @property {string} ticker
 * @property {string} venue
 * @property {string} folded for searching
 * @property {number | null} price last trade
 * @property {number} timeMs event time of the last trade
 * @property {1 | -1 | 0} direction of the last change of price
 * @property {number | null} day that of the last trade (UTC), by its number: the next four are of it
 * @property {number | null} reference close of the day before, or the day's open
 * @property {number | null} high
 * @property {number | null} low
 * @property {number | null} volume as of the last snapshot
 * @property {number} decimals most digits after the point seen in a price
 */

export class Store {
  /** @type {Map<string, Quote>} */
  #quotes = new Map();
  /** As far as they were asked for. @type {readonly string[]} */
  #sorted = [];
  /** @type {Map<string, string[]>} bare ticker, folded, to symbols */
  #bare = new Map();
  /** @type {Map<string, string>} */
  #full = new Map();

  get size() {
    return this.#quotes.size;
  }

  /** Symbols in alphabetical order. @returns {readonly string[]} */
  symbols() {
    // Asked for with each key in the search and each second: new ones only are put in their place.
    if (this.#sorted.length < this.#quotes.size) {
      const fresh = [...this.#quotes.keys()].slice(this.#sorted.length);
      this.#sorted = [...this.#sorted, ...fresh].sort(ALPHABET.compare);
    }
    return this.#sorted;
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
      day: null, reference: null, high: null, low: null, volume: null, decimals: 0,
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
    this.#begin(quote, dayOf(timeMs), price);
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
    const bar = snapshot.dailyBar;
    if (bar) this.#takeDay(quote, bar, snapshot.prevDailyBar);
    const trade = snapshot.latestTrade;
    if (trade) this.trade(symbol, trade.p, Date.parse(trade.t));
  }

  /**
   * The day of a symbol's last trade as the gateway knew it: that may have been over already when
   * the answer came.
   * @param {Quote} quote
   * @param {any} bar
   * @param {any} before the bar of the calendar day before
   */
  #takeDay(quote, bar, before) {
    const day = dayOf(Date.parse(bar.t));
    const known = quote.day ?? day;
    // A first trade came before anything was known of the day before it.
    if (day === known - 1 && quote.high === null) quote.reference = bar.c;
    if (day < known) return;
    quote.day = day;
    quote.reference = before?.c ?? bar.o;
    quote.high = bar.h;
    quote.low = bar.l;
    quote.volume = bar.v;
    quote.price ??= bar.c;
    for (const price of [bar.o, bar.h, bar.l, bar.c]) this.#widen(quote, price);
  }

  /** A trade may be the first of another day. @param {Quote} quote @param {number} day @param {number} price */
  #begin(quote, day, price) {
    const before = quote.day ?? day;
    quote.day = day;
    if (day <= before) return;
    quote.reference = day === before + 1 ? quote.price : price; // as a snapshot would say
    quote.high = quote.low = price;
    quote.volume = null;
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
