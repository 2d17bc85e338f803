/** The last trades of one symbol, and what was said of them later. Pure. */

/**
 * `state` says what became of a trade: "cancelled", "corrected" (by the row above it) or
 * "correction" (in the place of the row below it).
 * @typedef {{key: number, kind: "trade" | "gap", id: string | null, price: number, size: number,
 *   side: "B" | "S" | "", timeMs: number, state: "" | "cancelled" | "corrected" | "correction",
 *   words: string}} Row
 */

const GAP_WORDS = { open: "trades are missing", filled: "missing trades came", lost: "trades are lost" };

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
  /** Trades taken in, whether they are still here or not. */
  count = 0;

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
  }

  /** @param {any} trade */
  #trade(trade) {
    const id = trade.i === undefined ? `${trade.t} ${trade.p} ${trade.s}` : String(trade.i);
    if (this.#byId.has(id)) return false; // the last trade comes again after a reconnect
    this.count += 1;
    this.#insert(0, {
      kind: "trade", id, price: trade.p, size: trade.s, side: trade.tks ?? "",
      timeMs: Date.parse(trade.t), state: "", words: "",
    });
    return true;
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
    this.#insert(0, {
      kind: "gap", id: null, price: NaN, size: NaN, side: "", timeMs: Date.parse(gap.from),
      state: "", words: GAP_WORDS[/** @type {keyof typeof GAP_WORDS} */ (gap.state)] ?? gap.state,
    });
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
