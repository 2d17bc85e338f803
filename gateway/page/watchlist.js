/** The watch-list on the screen: prices that flash, keyboard, order. Writes only rows in sight. */

import { tone } from "./board.js";
import { changeSign, formatChange, formatPrice, splitSymbol } from "./format.js";
import { byId, perFrame, setText } from "./frames.js";
import { say } from "./say.js";

const FLASH_MS = 300;
const FLASH_GAP_MS = 600; // a row flashes at most this often, or a fast market only flickers

/**
 * @typedef {object} Row
 * @property {string} symbol
 * @property {HTMLElement} element
 * @property {HTMLButtonElement} open
 * @property {HTMLElement} price
 * @property {HTMLElement} same the digits that stayed
 * @property {HTMLElement} moved the digits that changed
 * @property {HTMLElement} change
 * @property {SVGElement} spark
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
  #watched;
  #sparks;
  #onSelect;
  #list = byId("list");
  #template = /** @type {HTMLTemplateElement} */ (byId("row"));
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Set<string>} */
  #dirty = new Set();
  /** @type {Set<Row>} */
  #flashing = new Set();
  #fades = false;
  #needsOrder = true;
  /** @type {string | null} */
  #selected = null;
  /** The row that the Tab key comes to. @type {string | null} */
  #at = null;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #draw = perFrame((nowMs) => this.#write(nowMs));
  #observer = new IntersectionObserver((entries) => this.#see(entries), {
    root: this.#list,
    rootMargin: "96px",
  });

  /**
   * @param {{store: import("./store.js").Store, watched: import("./watched.js").Watched,
   *   sparks: import("./sparks.js").Sparks, onSelect: (symbol: string) => void}} options
   */
  constructor({ store, watched, sparks, onSelect }) {
    this.#store = store;
    this.#watched = watched;
    this.#sparks = sparks;
    this.#onSelect = onSelect;
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", (event) => this.#click(event));
    byId("edit").addEventListener("click", () => this.#toggleEdit());
  }

  /** A symbol's values changed. @param {string} symbol */
  touch(symbol) {
    if (!this.#rows.has(symbol)) return;
    this.#dirty.add(symbol);
    this.#draw();
  }

  /** Other symbols are known or watched, or in another order. */
  arrange() {
    this.#needsOrder = true;
    this.#draw();
  }

  /** Show which symbol is on the active chart. @param {string | null} symbol */
  select(symbol) {
    if (symbol === this.#selected) return;
    this.#mark(this.#selected, false);
    this.#selected = symbol;
    this.#mark(symbol, true);
    const row = symbol === null ? undefined : this.#rows.get(symbol);
    if (!row) return;
    if (!this.#list.contains(document.activeElement)) this.#rove(row.symbol);
    row.element.scrollIntoView({ block: "nearest" });
  }

  /** Symbols of the rows, from the top. */
  shown() {
    return [...this.#list.children].map(
      (element) => /** @type {HTMLElement} */ (element).dataset.symbol ?? "",
    );
  }

  focus() {
    if (this.#at) this.#rows.get(this.#at)?.open.focus();
  }

  /** @param {number} nowMs */
  #write(nowMs) {
    this.#fade(nowMs);
    if (this.#needsOrder) this.#order();
    for (const symbol of this.#dirty) {
      const row = this.#rows.get(symbol);
      if (row && !row.visible) continue; // written when it scrolls into view
      if (row) this.#writeRow(row, nowMs); // without one it was removed meanwhile
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
    tone(row.change, changeSign(change));
    this.#sparks.draw(row.spark, row.symbol, quote.price);
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
    // A line below: behind the digits, whose colour may be the other one by now, they read badly.
    row.price.dataset.flash = row.moved.className;
    this.#flashing.add(row);
    this.#fadeLater();
  }

  /** Rather than by animations, each of which has all painted sixty times a second. @param {number} nowMs */
  #fade(nowMs) {
    for (const row of this.#flashing) {
      if (nowMs - row.flashedMs < FLASH_MS) continue;
      delete row.price.dataset.flash;
      this.#flashing.delete(row);
    }
    if (this.#flashing.size) this.#fadeLater();
  }

  #fadeLater() {
    if (this.#fades) return;
    this.#fades = true;
    setTimeout(() => {
      this.#fades = false;
      this.#draw();
    }, FLASH_MS);
  }

  /** Make the rows those of the watched symbols, in their order. */
  #order() {
    this.#needsOrder = false;
    const all = this.#store.symbols();
    const symbols = this.#watched.symbols(all);
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    for (const [symbol, row] of this.#rows) {
      if (!symbols.includes(symbol)) this.#drop(row);
    }
    let next = this.#list.firstElementChild;
    for (const symbol of symbols) {
      const row = this.#rows.get(symbol) ?? this.#makeRow(symbol);
      if (row.element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(row.element, next);
    }
    if (focused instanceof HTMLElement) focused.focus(); // a row that was moved lost it
    if (this.#at === null || !this.#rows.has(this.#at)) {
      const isListed = this.#selected !== null && this.#rows.has(this.#selected);
      this.#rove(isListed ? this.#selected : (symbols[0] ?? null));
    }
    this.#mark(this.#selected, true);
    byId("list-empty").hidden = symbols.length > 0 || all.length === 0;
    const many = all.length === 1 ? "1 symbol" : `${all.length.toLocaleString("en-US")} symbols`;
    setText(byId("list-note"), all.length ? `${symbols.length} watched of ${many}` : "");
  }

  /** @param {Row} row */
  #drop(row) {
    this.#observer.unobserve(row.element);
    row.element.remove();
    this.#rows.delete(row.symbol);
  }

  /** @param {string} symbol @returns {Row} */
  #makeRow(symbol) {
    const fragment = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const element = /** @type {HTMLElement} */ (fragment.firstElementChild);
    const find = (/** @type {string} */ css) =>
      /** @type {HTMLElement} */ (element.querySelector(css));
    const { ticker, venue } = splitSymbol(symbol);
    element.dataset.symbol = symbol;
    find("b").textContent = ticker;
    find(".row-venue").textContent = venue;
    for (const [tool, words] of [["up", "Move up"], ["down", "Move down"], ["remove", "Remove"]]) {
      find(`[data-tool=${tool}]`).setAttribute("aria-label", `${words}: ${ticker}`);
    }
    const row = {
      symbol, element, open: /** @type {HTMLButtonElement} */ (find(".row-open")),
      price: find(".row-price"), same: find(".row-price span"), moved: find("em"),
      change: find(".row-change"),
      spark: /** @type {SVGElement} */ (element.querySelector(".spark")), shown: "",
      flashedMs: 0, visible: false,
    };
    this.#rows.set(symbol, row);
    this.#dirty.add(symbol);
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

  /** @param {Event} event @returns {string | null} */
  #symbolOf(event) {
    const row = /** @type {Element} */ (event.target).closest("[data-symbol]");
    return row instanceof HTMLElement ? (row.dataset.symbol ?? null) : null;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const symbol = this.#symbolOf(event);
    const tool = /** @type {Element} */ (event.target).closest("[data-tool]");
    if (symbol === null) return;
    if (!(tool instanceof HTMLElement)) {
      this.#rove(symbol);
      this.#onSelect(symbol);
    } else if (tool.dataset.tool === "remove") this.#remove(symbol);
    else this.#move(symbol, tool.dataset.tool === "up" ? -1 : 1);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const symbol = this.#symbolOf(event);
    if (symbol === null || event.ctrlKey || event.metaKey) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step && event.altKey) this.#move(symbol, step);
    else if (step) this.#goTo(this.shown().indexOf(symbol) + step);
    else if (event.key === "Home") this.#goTo(0);
    else if (event.key === "End") this.#goTo(this.#rows.size - 1);
    else if (event.key === "Delete" || event.key === "Backspace") this.#remove(symbol);
    else return;
    event.preventDefault();
  }

  /** @param {number} index */
  #goTo(index) {
    const shown = this.shown();
    const symbol = shown[Math.min(shown.length - 1, Math.max(0, index))];
    if (symbol === undefined) return;
    this.#rove(symbol);
    this.focus();
  }

  /** @param {string} symbol @param {-1 | 1} by */
  #move(symbol, by) {
    if (!this.#watched.move(symbol, by, this.#store.symbols())) return;
    this.#order();
    this.#rows.get(symbol)?.element.scrollIntoView({ block: "nearest" });
    say(`${splitSymbol(symbol).ticker} is number ${this.shown().indexOf(symbol) + 1}`);
  }

  /** @param {string} symbol */
  #remove(symbol) {
    const index = this.shown().indexOf(symbol);
    const hadFocus = this.#list.contains(document.activeElement);
    this.#watched.remove(symbol, this.#store.symbols());
    this.#order();
    say(`${splitSymbol(symbol).ticker} removed from the watch-list`);
    if (!hadFocus) return;
    if (this.#rows.size) this.#goTo(index);
    else byId("search").focus();
  }

  #toggleEdit() {
    const isEditing = this.#list.classList.toggle("editing");
    byId("edit").setAttribute("aria-pressed", String(isEditing));
    setText(byId("edit"), isEditing ? "Done" : "Edit");
  }

  /** Let the Tab key come to this row, and to no other. @param {string | null} symbol */
  #rove(symbol) {
    const before = this.#at === null ? undefined : this.#rows.get(this.#at);
    if (before) before.open.tabIndex = -1;
    this.#at = symbol;
    const row = symbol === null ? undefined : this.#rows.get(symbol);
    if (row) row.open.tabIndex = 0;
  }

  /** @param {string | null} symbol @param {boolean} isOn */
  #mark(symbol, isOn) {
    const row = symbol === null ? undefined : this.#rows.get(symbol);
    if (!row) return;
    row.element.classList.toggle("selected", isOn);
    if (isOn) row.open.setAttribute("aria-current", "true");
    else row.open.removeAttribute("aria-current");
  }
}
