/**
 * The last trades of one symbol, and what was said of them later. They come live, and out of the
 * history below that: the two are joined once the history has a trade that came live. Pure.
 */

/**
 * `state` says what became of a trade: "cancelled", "corrected" (by the row above it) or
 * "correction" (in the place of the row below it).
 * @typedef {{key: number, kind: "trade" | "gap", id: string | null, price: number, size: number,
 *   side: "B" | "S" | "", timeMs: number, state: "" | "cancelled" | "corrected" | "correction",
 *   words: string}} Row
 */

const GAP_WORDS = { open: "trades are missing", filled: "missing trades came", lost: "trades are lost" };
const BROKEN_WORDS = "connection lost: trades may be missing";
const REACH_MS = 6 * 3_600_000; // before the live trades; a symbol that trades less shows fewer
const IN_FLIGHT_MS = 1000;

/** What a trade is told apart by; where a venue gives no id, by all there is. @param {any} trade */
function idOf(trade) {
  return trade.i === undefined ? `${trade.t} ${trade.p} ${trade.s}` : String(trade.i);
}

/** Bounded: beyond the limit the oldest row goes. */
export class TradeTape {
  #limit;
  #key = 0;
  /** Newest first. @type {Row[]} */
  #rows = [];
  /** @type {Map<string, Row>} */
  #byId = new Map();
  /** Grows with every change. */
  version = 0;
  /** Trades that came live, whether they are still here or not. */
  count = 0;
  /** From this key on rows came live without a break. */
  #liveFrom = 0;
  #isBroken = false;
  /** What comes before the live trades is here as well. */
  #isJoined = false;

  /** @param {number} limit rows that are kept */
  constructor(limit) {
    this.#limit = limit;
  }

  /** Newest first; do not change it. @returns {readonly Row[]} */
  get rows() {
    return this.#rows;
  }

  /** Whether a message changed something. @param {any} message {T: "t" | "c" | "x" | "gap", …} */
  take(message) {
    const isNews =
      message.T === "t" ? this.#trade(message)
      : message.T === "x" ? this.#cancel(message)
      : message.T === "c" ? this.#correct(message)
      : message.T === "gap" ? this.#gap(message)
      : false;
    if (isNews) this.version += 1;
    return isNews;
  }

  clear() {
    this.#rows = [];
    this.#byId.clear();
    this.version += 1;
    this.count = 0;
    this.#liveFrom = 0;
    this.#isBroken = this.#isJoined = false;
  }

  /** Live trades end here; those that follow may go on after a hole. */
  interrupt() {
    this.#isBroken = true;
  }

  /**
   * The time that the history should be asked for; null: nothing is wanting below the live trades,
   * or there are none yet.
   * @returns {{fromMs: number, toMs: number} | null}
   */
  get wanting() {
    if (this.#isJoined || this.#isBroken) return null;
    const trades = this.#rows.filter((row) => row.kind === "trade");
    const live = trades.filter((row) => row.key >= this.#liveFrom).map((row) => row.timeMs);
    if (!live.length) return null;
    const before = trades.filter((row) => row.key < this.#liveFrom).map((row) => row.timeMs);
    const known = before.length ? Math.max(...before) : Infinity;
    return {
      fromMs: Math.min(Math.min(...live) - REACH_MS, known),
      toMs: Math.max(...live) + IN_FLIGHT_MS,
    };
  }

  /**
   * Take in what the history has of the newest trades, as many as there is room for here.
   * @param {readonly any[]} trades newest first, as `/v1/trades` gives them
   * @returns {boolean} false where the history does not reach the live trades yet: ask again
   */
  join(trades) {
    const known = trades.map((trade) => this.#byId.get(idOf(trade)));
    if (!known.some((row) => row && row.key >= this.#liveFrom)) return false;
    this.#rows = this.#rows.filter((row) => row.words !== BROKEN_WORDS);
    const here = this.#rows.map((row) => row.id);
    for (const trade of trades) {
      const at = here.indexOf(idOf(trade));
      if (at >= 0) here.splice(at, 1); // each counts once, also where trades without ids are alike
      else this.#insert(this.#placeOf(Date.parse(trade.t)), tradeRow(trade));
    }
    this.#isJoined = true;
    this.version += 1;
    return true;
  }

  /** Below all trades that are not older. @param {number} timeMs */
  #placeOf(timeMs) {
    const isNotOlder = (/** @type {Row} */ row) => row.kind === "trade" && row.timeMs >= timeMs;
    return this.#rows.findLastIndex(isNotOlder) + 1;
  }

  /** @param {any} trade */
  #trade(trade) {
    // The last trade comes again after a reconnect. Otherwise those without ids may be alike.
    const isKnown = (this.#isBroken || trade.i !== undefined) && this.#byId.has(idOf(trade));
    if (this.#isBroken && !isKnown) this.#beginAnew(Date.parse(trade.t));
    this.#isBroken = false;
    if (isKnown) return false;
    this.count += 1;
    this.#insert(0, tradeRow(trade));
    return true;
  }

  /** @param {number} timeMs */
  #beginAnew(timeMs) {
    if (this.#rows.length) this.#insert(0, { ...gapRow(BROKEN_WORDS), timeMs });
    this.#liveFrom = this.#key + 1;
    this.#isJoined = false;
  }

  /** @param {any} message */
  #cancel(message) {
    const row = this.#byId.get(String(message.i));
    if (!row || row.state === "cancelled") return false;
    row.state = "cancelled";
    return true;
  }

  /** @param {any} message */
  #correct(message) {
    const old = this.#byId.get(String(message.oi));
    if (!old || (old.price === message.cp && old.size === message.cs)) return false;
    old.state = "corrected";
    // It keeps the event time of the trade whose place it takes.
    this.#insert(this.#rows.indexOf(old), {
      kind: "trade", id: String(message.ci), price: message.cp, size: message.cs,
      side: old.side, timeMs: old.timeMs, state: "correction", words: "",
    });
    return true;
  }

  /** @param {any} gap */
  #gap(gap) {
    const words = GAP_WORDS[/** @type {keyof typeof GAP_WORDS} */ (gap.state)] ?? gap.state;
    this.#insert(0, { ...gapRow(words), timeMs: Date.parse(gap.from) });
    return true;
  }

  /** @param {number} index @param {Omit<Row, "key">} row */
  #insert(index, row) {
    const kept = { key: (this.#key += 1), ...row };
    this.#rows.splice(Math.max(0, index), 0, kept);
    if (row.id !== null) this.#byId.set(row.id, kept);
    if (this.#rows.length <= this.#limit) return;
    const gone = /** @type {Row} */ (this.#rows.pop());
    if (gone.id !== null && this.#byId.get(gone.id) === gone) this.#byId.delete(gone.id);
  }
}

/** @param {any} trade @returns {Omit<Row, "key">} */
function tradeRow(trade) {
  return {
    kind: "trade", id: idOf(trade), price: trade.p, size: trade.s, side: trade.tks ?? "",
    timeMs: Date.parse(trade.t), state: "", words: "",
  };
}

/** @param {string} words @returns {Omit<Row, "key" | "timeMs">} */
function gapRow(words) {
  return { kind: "gap", id: null, price: NaN, size: NaN, side: "", state: "", words };
}
