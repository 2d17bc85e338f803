/** Symbol search: a box whose matches a key or a tap adds to the watch-list and opens. */

import { formatPrice } from "./format.js";
import { byId } from "./frames.js";
import { search } from "./matching.js";
import { say } from "./say.js";

const MAX_SHOWN = 50;
const SAY_AFTER_MS = 600; // when the typing pauses

export class Search {
  #store;
  #events;
  #input = /** @type {HTMLInputElement} */ (byId("search"));
  #list = byId("matches");
  /** Where the keyboard is. */
  #at = 0;
  /** @type {string[]} */
  #symbols = [];
  /** @type {number | undefined} */
  #timer;

  /**
   * @param {import("./store.js").Store} store
   * @param {{isWatched: (symbol: string) => boolean, onChoose: (symbol: string) => void}} events
   */
  constructor(store, events) {
    this.#store = store;
    this.#events = events;
    this.#input.addEventListener("input", () => this.#find());
    this.#input.addEventListener("focus", () => this.#find());
    this.#input.addEventListener("blur", () => this.#close());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    // The box keeps the focus: without it the list would be gone before the click comes.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => this.#tap(event));
  }

  /** Symbols that match what is typed, as shown. */
  get found() {
    return this.#list.hidden ? [] : this.#symbols;
  }

  focus() {
    this.#input.focus();
    this.#input.select();
  }

  #find() {
    const text = this.#input.value.trim();
    if (!text) {
      this.#close();
      return;
    }
    const quotes = this.#store.symbols().map((symbol) => this.#store.get(symbol));
    const known = /** @type {import("./store.js").Quote[]} */ (quotes.filter(Boolean));
    const { found, total } = search(known, text, MAX_SHOWN);
    this.#symbols = found.map((quote) => quote.symbol);
    this.#list.replaceChildren(...found.map((quote, index) => this.#option(quote, index)));
    this.#list.hidden = !found.length;
    this.#input.setAttribute("aria-expanded", String(found.length > 0));
    byId("no-match").hidden = found.length > 0;
    byId("no-match").textContent = known.length
      ? `No symbol matches “${text}”.`
      : "No symbols are known yet: the gateway has not named any.";
    this.#moveTo(0);
    this.#announce(total);
  }

  /** @param {number} total */
  #announce(total) {
    clearTimeout(this.#timer);
    const words = total === 1 ? "1 symbol matches" : `${total || "No"} symbols match`;
    this.#timer = setTimeout(() => say(words), SAY_AFTER_MS);
  }

  /** @param {import("./store.js").Quote} quote @param {number} index */
  #option(quote, index) {
    const option = document.createElement("div");
    option.className = "match";
    option.id = `match-${index}`;
    option.setAttribute("role", "option");
    option.dataset.symbol = quote.symbol;
    const name = document.createElement("b");
    name.textContent = quote.ticker;
    const venue = document.createElement("small");
    venue.textContent = quote.venue;
    const state = document.createElement("span");
    state.className = "num";
    state.textContent = this.#events.isWatched(quote.symbol)
      ? "watched"
      : formatPrice(quote.price, quote.decimals);
    option.append(name, venue, state);
    return option;
  }

  /** @param {number} index */
  #moveTo(index) {
    const options = /** @type {HTMLElement[]} */ ([...this.#list.children]);
    this.#at = Math.min(options.length - 1, Math.max(0, index));
    for (const [at, option] of options.entries()) {
      option.setAttribute("aria-selected", String(at === this.#at));
    }
    const option = options[this.#at];
    if (!option) {
      this.#input.removeAttribute("aria-activedescendant");
      return;
    }
    this.#input.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "ArrowDown") this.#moveTo(this.#at + 1);
    else if (event.key === "ArrowUp") this.#moveTo(this.#at - 1);
    else if (event.key === "Enter") this.#choose(this.#symbols[this.#at]);
    else if (event.key === "Escape") this.#escape();
    else return;
    event.preventDefault();
  }

  #escape() {
    if (this.#input.value) {
      this.#input.value = "";
      this.#close();
    } else this.#input.blur();
  }

  /** @param {MouseEvent} event */
  #tap(event) {
    const option = /** @type {Element} */ (event.target).closest("[data-symbol]");
    if (option instanceof HTMLElement) this.#choose(option.dataset.symbol);
  }

  /** @param {string | undefined} symbol */
  #choose(symbol) {
    if (!symbol || this.#list.hidden) return;
    this.#input.value = "";
    this.#close();
    this.#events.onChoose(symbol);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#list.hidden = true;
    this.#symbols = [];
    byId("no-match").hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }
}
