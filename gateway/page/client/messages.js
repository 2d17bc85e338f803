/** The messages of the wire protocol, the channels that bring them. Pure. */

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
 * What a caller names of each channel: one symbol, or several.
 * @param {Record<string, string | Iterable<string>>} named
 * @returns {Channels}
 */
export function channelsOf(named) {
  const lists = Object.entries(named).map(([channel, symbols]) => [
    channel, namesOf(channel, symbols),
  ]);
  return Object.fromEntries(lists);
}

/**
 * One symbol or several as a list.
 * @param {string} what they were given as
 * @param {string | Iterable<string>} symbols
 * @returns {string[]}
 * @throws {TypeError} they are no text
 */
export function namesOf(what, symbols) {
  if (typeof symbols === "string") return [symbols];
  const names = typeof symbols?.[Symbol.iterator] === "function" ? [...symbols] : [symbols];
  for (const name of names) {
    if (typeof name !== "string") {
      throw new TypeError(`${what}: expected symbols as text, was ${String(name)}`);
    }
  }
  return /** @type {string[]} */ (names);
}

/** One of each. @param {Channels} channels @returns {[string, string][]} */
export function pairs(channels) {
  return Object.entries(channels).flatMap(([channel, symbols]) =>
    symbols.map((symbol) => /** @type {[string, string]} */ ([channel, symbol])),
  );
}

/**
 * The client's own words for what nobody can give it any more.
 * @param {Channels} channels
 * @param {string | null} from RFC 3339; null where it is not known since when
 * @param {string} to
 * @returns {Gap[]}
 */
export function gapsOf(channels, from, to) {
  /** @type {Map<string, string[]>} */
  const bySymbol = new Map();
  for (const [channel, symbol] of pairs(channels)) {
    bySymbol.set(symbol, [...(bySymbol.get(symbol) ?? []), channel]);
  }
  return [...bySymbol].map(([symbol, names]) => ({
    T: "gap", S: symbol, from, to, state: "lost", channels: names,
  }));
}
