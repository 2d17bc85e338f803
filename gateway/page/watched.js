/** The symbols that a person keeps an eye on, in the order of their choice. Pure. */

/** More rows than anybody watches; it bounds what one request for their days asks. */
export const MAX_WATCHED = 100;

/** How many of all symbols are shown while nothing was chosen yet. */
const MAX_UNCHOSEN = 50;
const SHAPE = /^[A-Z][A-Z0-9_]{0,15}:[A-Z0-9][A-Z0-9._/-]{0,39}$/; // as the gateway's symbols

/** A list out of what a browser kept, whatever that is; null where it is no list. @param {unknown} value @returns {string[] | null} */
export function parseWatched(value) {
  if (!Array.isArray(value)) return null;
  const symbols = value.filter((symbol) => typeof symbol === "string" && SHAPE.test(symbol));
  return [...new Set(symbols)].slice(0, MAX_WATCHED);
}

/** Until something is chosen all symbols are watched, or the first of very many. */
export class Watched {
  /** @type {string[] | null} */
  #chosen;
  #onChange;

  /**
   * @param {string[] | null} chosen
   * @param {(chosen: readonly string[]) => void} onChange called with what is to be kept
   */
  constructor(chosen, onChange) {
    this.#chosen = chosen;
    this.#onChange = onChange;
  }

  /** @param {readonly string[]} all every symbol known, in order @returns {readonly string[]} */
  symbols(all) {
    return this.#chosen ?? all.slice(0, MAX_UNCHOSEN);
  }

  /**
   * Put a symbol at the end.
   * @param {string} symbol
   * @param {readonly string[]} all
   * @returns {"added" | "there" | "full"}
   */
  add(symbol, all) {
    const symbols = this.symbols(all);
    if (symbols.includes(symbol)) return "there";
    if (symbols.length >= MAX_WATCHED) return "full";
    this.#choose([...symbols, symbol]);
    return "added";
  }

  /** @param {string} symbol @param {readonly string[]} all */
  remove(symbol, all) {
    this.#choose(this.symbols(all).filter((each) => each !== symbol));
  }

  /**
   * Move a symbol up or down.
   * @param {string} symbol
   * @param {-1 | 1} by
   * @param {readonly string[]} all
   * @returns {boolean} whether there was a place to go
   */
  move(symbol, by, all) {
    const symbols = [...this.symbols(all)];
    const from = symbols.indexOf(symbol);
    const to = from + by;
    if (from < 0 || to < 0 || to >= symbols.length) return false;
    [symbols[from], symbols[to]] = [symbols[to], symbols[from]];
    this.#choose(symbols);
    return true;
  }

  /** Take over what another tab has kept; null: nothing is chosen. @param {string[] | null} chosen */
  follow(chosen) {
    this.#chosen = chosen;
  }

  /** @param {string[]} symbols */
  #choose(symbols) {
    this.#chosen = symbols;
    this.#onChange(symbols);
  }
}
