/** The trade tape: the last trades of the symbol that the active chart shows. */

import { formatClock, formatPrice, formatVolume, splitSymbol } from "./format.js";
import { byId, setText } from "./frames.js";
import { say } from "./say.js";
import { TradeTape } from "./trades.js";

/** @typedef {import("./trades.js").Row} Row */

const ROWS = 200;
const TIGHT = 18; // more characters than this in price and size together are written smaller
const WRITE_GAP_MS = 100; // ten times a second is as fast as a tape can be read

const SIDES = { B: "▲ Buy", S: "▼ Sell", "": "–" };
const SIDE_CLASSES = { B: "up", S: "down", "": "" };

export class TapeView {
  #tape = new TradeTape(ROWS);
  #body = byId("tape-rows");
  #scroll = /** @type {HTMLElement} */ (this.#body.closest(".tape-scroll"));
  #pause = byId("tape-pause");
  /** Rows of the table by the key of their trade. @type {Map<number, HTMLTableRowElement>} */
  #written = new Map();
  /** What is shown while the tape is paused. @type {readonly Row[] | null} */
  #held = null;
  #heldCount = 0;
  #version = -1;
  #wroteMs = -Infinity;
  #decimals = 2;
  /** Characters of the longest price and size that were written. */
  #longest = 0;
  /** @type {string | null} */
  symbol = null;

  constructor() {
    this.#pause.addEventListener("click", () => this.togglePause());
  }

  get isPaused() {
    return this.#held !== null;
  }

  /** How many trades there is room for. */
  get room() {
    return ROWS;
  }

  /** The time that the history should be asked for, or null. */
  get wanting() {
    return this.#tape.wanting;
  }

  /** Take in what the history has. @param {readonly any[]} trades newest first */
  join(trades) {
    this.#tape.join(trades);
  }

  /** The connection was lost: what comes next may go on after a hole. */
  interrupt() {
    this.#tape.interrupt();
  }

  /**
   * Another symbol's trades.
   * @param {string | null} symbol
   * @param {readonly any[]} recent what came of them already, oldest first
   */
  show(symbol, recent) {
    if (symbol === this.symbol) return;
    this.symbol = symbol;
    this.#longest = 0;
    this.#tape.clear();
    for (const message of recent) this.#tape.take(message);
    if (this.#held) this.togglePause();
    this.#wroteMs = -Infinity; // no trades of one symbol under the name of another
    setText(byId("tape-title"), symbol ? `Trades of ${splitSymbol(symbol).ticker}` : "Trades");
  }

  /** @param {any} message {T: "t" | "c" | "x" | "gap", S, …} */
  take(message) {
    if (message.S === this.symbol || message.S === "*") this.#tape.take(message);
  }

  /** @param {number} nowMs @param {number} decimals of the prices */
  write(nowMs, decimals) {
    if (nowMs - this.#wroteMs < WRITE_GAP_MS) return;
    if (decimals !== this.#decimals) {
      this.#decimals = decimals;
      this.#clear();
    } else if (this.#version === this.#tape.version) return;
    this.#wroteMs = nowMs;
    this.#version = this.#tape.version;
    const rows = this.#held ?? this.#tape.rows;
    this.#sync(rows);
    this.#scroll.classList.toggle("tight", this.#longest > TIGHT);
    byId("tape-empty").hidden = rows.length > 0;
    const waiting = this.#tape.count - this.#heldCount;
    setText(byId("tape-note"), this.#held && waiting ? `${waiting.toLocaleString("en-US")} more` : "");
  }

  togglePause() {
    this.#held = this.#held ? null : [...this.#tape.rows];
    this.#heldCount = this.#tape.count;
    this.#version = -1;
    this.#pause.setAttribute("aria-pressed", String(this.isPaused));
    setText(this.#pause, this.isPaused ? "Go on" : "Pause");
    say(this.isPaused ? "Trades paused" : "Trades go on");
  }

  /** @param {readonly Row[]} rows newest first */
  #sync(rows) {
    const keep = new Set(rows.map((row) => row.key));
    for (const [key, element] of this.#written) {
      if (keep.has(key)) continue;
      element.remove();
      this.#written.delete(key);
    }
    let next = this.#body.firstElementChild;
    for (const row of rows) {
      const known = this.#written.get(row.key);
      if (known && known === next) next = next.nextElementSibling;
      else this.#body.insertBefore(known ?? this.#make(row), next);
      if (known && known.dataset.state !== row.state) this.#mark(known, row);
    }
  }

  #clear() {
    this.#longest = 0;
    this.#written.clear();
    this.#body.replaceChildren();
  }

  /** @param {Row} row */
  #make(row) {
    const element = document.createElement("tr");
    const [price, size] = [formatPrice(row.price, this.#decimals), formatVolume(row.size)];
    const cells = row.kind === "gap" ? [] : [
      [SIDES[row.side], SIDE_CLASSES[row.side]], [price, "num"], [size, "num"],
    ];
    this.#longest = Math.max(this.#longest, price.length + size.length);
    this.#addCell(element, formatClock(row.timeMs), "num");
    for (const [text, css] of cells) this.#addCell(element, text, css);
    if (row.kind === "gap") {
      this.#addCell(element, row.words, "tape-gap").colSpan = 3;
    }
    this.#written.set(row.key, element);
    this.#mark(element, row);
    return element;
  }

  /** @param {HTMLTableRowElement} element @param {string} text @param {string} css */
  #addCell(element, text, css) {
    const cell = element.insertCell();
    cell.textContent = text;
    cell.className = css;
    return cell;
  }

  /** Strike through what does not count any more, and say so. @param {HTMLTableRowElement} element @param {Row} row */
  #mark(element, row) {
    element.dataset.state = row.state;
    if (!row.state) return;
    const last = /** @type {HTMLElement} */ (element.lastElementChild);
    const mark = document.createElement("small");
    mark.className = "tape-mark";
    mark.textContent = row.state;
    last.querySelector("small")?.remove();
    last.append(mark);
  }
}
