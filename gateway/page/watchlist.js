/** The list of symbols: search, keyboard, prices that flash. Writes only rows on the screen. */

import { changeSign, foldSymbol, formatChange, formatPrice } from "./format.js";
import { byId, perFrame, setText } from "./frames.js";

const FLASH_MS = 650;
const FLASH_GAP_MS = 350; // a row flashes at most this often, or a fast market only flickers

/**
 * @typedef {object} Row
 * @property {string} symbol
 * @property {HTMLElement} element
 * @property {HTMLElement} price
 * @property {HTMLElement} same the digits that stayed
 * @property {HTMLElement} moved the digits that changed
 * @property {HTMLElement} change
 * @property {HTMLElement} range
 * @property {string} shown price as it stands there
 * @property {number} flashedMs
 * @property {boolean} visible
 */

/** Length of the text that two prices share at their start. @param {string} a @param {string} b */
function sharedLength(a, b) {
  if (a.length !== b.length) return 0;
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

export class Watchlist {
  #store;
  #onSelect;
  #list = byId("list");
  #search = /** @type {HTMLInputElement} */ (byId("search"));
  #template = /** @type {HTMLTemplateElement} */ (byId("row"));
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Set<string>} */
  #dirty = new Set();
  #needsOrder = false;
  /** @type {string | null} */
  #selected = null;
  /** Where the keyboard is. @type {string | null} */
  #at = null;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #draw = perFrame((nowMs) => this.#write(nowMs));
  #observer = new IntersectionObserver((entries) => this.#see(entries), {
    root: this.#list,
    rootMargin: "96px",
  });

  /**
   * @param {import("./store.js").Store} store
   * @param {(symbol: string) => void} onSelect
   */
  constructor(store, onSelect) {
    this.#store = store;
    this.#onSelect = onSelect;
    this.#search.addEventListener("input", () => this.#filter());
    this.#search.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => {
      const row = /** @type {Element} */ (event.target).closest("[data-symbol]");
      if (row instanceof HTMLElement) this.#choose(row.dataset.symbol ?? "");
    });
    document.addEventListener("keydown", (event) => this.#shortcut(event));
  }

  /** A symbol's values changed, or it is new. @param {string} symbol */
  touch(symbol) {
    if (!this.#rows.has(symbol)) this.#needsOrder = true;
    this.#dirty.add(symbol);
    this.#draw();
  }

  /** Show which symbol is on the chart. @param {string} symbol */
  select(symbol) {
    this.#mark(this.#selected, false);
    this.#selected = symbol;
    this.#mark(symbol, true);
    this.#moveTo(symbol);
  }

  /** Symbols that the search leaves, in the order shown. */
  shown() {
    return [...this.#list.children]
      .filter((element) => !(/** @type {HTMLElement} */ (element).hidden))
      .map((element) => /** @type {HTMLElement} */ (element).dataset.symbol ?? "");
  }

  /** @param {number} nowMs */
  #write(nowMs) {
    if (this.#needsOrder) this.#order();
    for (const symbol of this.#dirty) {
      const row = this.#rows.get(symbol);
      if (!row?.visible) continue; // written when it scrolls into view
      this.#writeRow(row, nowMs);
      this.#dirty.delete(symbol);
    }
  }

  /** @param {Row} row @param {number} nowMs */
  #writeRow(row, nowMs) {
    const quote = this.#store.get(row.symbol);
    if (!quote) return;
    const text = formatPrice(quote.price, quote.decimals);
    if (text !== row.shown) this.#writePrice(row, text, quote.direction, nowMs);
    const change = this.#store.change(quote);
    setText(row.change, formatChange(change));
    row.change.classList.toggle("up", changeSign(change) > 0);
    row.change.classList.toggle("down", changeSign(change) < 0);
    const span = (quote.high ?? 0) - (quote.low ?? 0);
    row.range.classList.toggle("empty", !(span > 0));
    if (span > 0 && quote.price !== null) {
      const share = Math.min(1, Math.max(0, (quote.price - (quote.low ?? 0)) / span));
      row.range.style.setProperty("--at", `${(share * 100).toFixed(0)}%`);
    }
  }

  /** @param {Row} row @param {string} text @param {1 | -1 | 0} direction @param {number} nowMs */
  #writePrice(row, text, direction, nowMs) {
    const isFirst = row.shown === "";
    const same = isFirst || direction === 0 ? text.length : sharedLength(row.shown, text);
    row.shown = text;
    setText(row.same, text.slice(0, same));
    setText(row.moved, text.slice(same));
    row.moved.className = direction > 0 ? "up" : "down";
    if (isFirst || direction === 0 || this.#calm.matches) return;
    if (nowMs - row.flashedMs < FLASH_GAP_MS) return;
    row.flashedMs = nowMs;
    const tint = direction > 0 ? "var(--up-tint)" : "var(--down-tint)";
    row.price.animate([{ backgroundColor: tint }, { backgroundColor: "transparent" }], {
      duration: FLASH_MS,
      easing: "ease-out",
    });
  }

  /** Put rows for new symbols in, in order. */
  #order() {
    this.#needsOrder = false;
    let next = this.#list.firstElementChild;
    for (const symbol of this.#store.symbols()) {
      const row = this.#rows.get(symbol);
      if (row && row.element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(row?.element ?? this.#makeRow(symbol).element, next);
    }
    this.#filter();
    this.#mark(this.#selected, true);
  }

  /** @param {string} symbol @returns {Row} */
  #makeRow(symbol) {
    const fragment = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const element = /** @type {HTMLElement} */ (fragment.firstElementChild);
    const find = (/** @type {string} */ css) =>
      /** @type {HTMLElement} */ (element.querySelector(css));
    const quote = this.#store.get(symbol);
    element.dataset.symbol = symbol;
    element.id = `row-${symbol}`;
    find("b").textContent = quote?.ticker ?? symbol;
    find("small").textContent = quote?.venue ?? "";
    const row = {
      symbol, element, price: find(".row-price"), same: find(".row-price span"),
      moved: find("em"), change: find(".row-change"), range: find(".range"), shown: "",
      flashedMs: 0, visible: false,
    };
    this.#rows.set(symbol, row);
    this.#observer.observe(element);
    return row;
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #see(entries) {
    for (const entry of entries) {
      const symbol = /** @type {HTMLElement} */ (entry.target).dataset.symbol ?? "";
      const row = this.#rows.get(symbol);
      if (!row) continue;
      row.visible = entry.isIntersecting;
      if (row.visible) this.#draw();
    }
  }

  #filter() {
    const wanted = foldSymbol(this.#search.value);
    let count = 0;
    for (const [symbol, row] of this.#rows) {
      const matches = this.#store.get(symbol)?.folded.includes(wanted) ?? false;
      row.element.hidden = !matches;
      if (matches) count += 1;
    }
    const total = this.#rows.size;
    const all = total === 1 ? "1 symbol" : `${total} symbols`;
    setText(byId("list-note"), wanted ? `${count} of ${all}` : all);
    if (wanted && (!this.#at || this.#rows.get(this.#at)?.element.hidden)) {
      this.#moveTo(this.shown()[0] ?? null);
    }
  }

  /** @param {KeyboardEvent} event */
  #shortcut(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key !== "/" || target instanceof HTMLInputElement || event.ctrlKey || event.metaKey) {
      return;
    }
    event.preventDefault();
    this.#search.focus();
    this.#search.select();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Enter" && this.#at) this.#choose(this.#at);
    else if (event.key === "Escape") this.#clear();
    else if (event.key === "ArrowDown") this.#step(1);
    else if (event.key === "ArrowUp") this.#step(-1);
    else return;
    event.preventDefault();
  }

  #clear() {
    if (this.#search.value) {
      this.#search.value = "";
      this.#filter();
    } else {
      this.#search.blur();
    }
  }

  /** @param {1 | -1} direction */
  #step(direction) {
    const shown = this.shown();
    if (!shown.length) return;
    const index = this.#at === null ? -1 : shown.indexOf(this.#at);
    const next = Math.min(shown.length - 1, Math.max(0, index + direction));
    this.#moveTo(shown[next]);
  }

  /** @param {string | null} symbol */
  #moveTo(symbol) {
    if (this.#at) this.#rows.get(this.#at)?.element.classList.remove("at");
    this.#at = symbol;
    const row = symbol === null ? undefined : this.#rows.get(symbol);
    for (const owner of [this.#list, this.#search]) {
      if (row) owner.setAttribute("aria-activedescendant", row.element.id);
      else owner.removeAttribute("aria-activedescendant");
    }
    row?.element.classList.add("at");
    row?.element.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} symbol */
  #choose(symbol) {
    this.#onSelect(symbol);
  }

  /** @param {string | null} symbol @param {boolean} on */
  #mark(symbol, on) {
    if (symbol) this.#rows.get(symbol)?.element.setAttribute("aria-selected", String(on));
  }
}
