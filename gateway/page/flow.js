/** Trades of all symbols, folded to what one frame of the screen can show. Pure. */

const TOO_FAST_PER_S = 30_000; // trades a second that a browser should not have to read
const MEASURED_S = 3; // in a row, before the page asks for less

/** Keeps the newest trade of each symbol until the next frame; memory: one per symbol. */
export class TradeFlow {
  /** @type {Map<string, any>} */
  #newest = new Map();
  #count = 0;
  #fastSeconds = 0;

  /** @param {any} trade {S, p, s, t} */
  put(trade) {
    this.#count += 1;
    this.#newest.set(trade.S, trade);
  }

  /** The newest trade of each symbol since the last call. @returns {Map<string, any>} */
  take() {
    const taken = this.#newest;
    this.#newest = new Map();
    return taken;
  }

  /** To be called once a second: whether it has been too fast for a while. */
  isTooFast() {
    this.#fastSeconds = this.#count > TOO_FAST_PER_S ? this.#fastSeconds + 1 : 0;
    this.#count = 0;
    return this.#fastSeconds >= MEASURED_S;
  }
}
