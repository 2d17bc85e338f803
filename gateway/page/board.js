/** The words and numbers around one chart: heading, legend, overlay, notes. */

import { changeSign, formatChange, formatCountdown, formatPrice, formatUtc, formatVolume } from "./format.js";
import { setText } from "./frames.js";
import { SECONDS } from "./timeframes.js";

/** @typedef {import("./bars.js").Bar} Bar */

/** @param {Element} element @param {number} sign */
export function tone(element, sign) {
  element.classList.toggle("up", sign > 0);
  element.classList.toggle("down", sign < 0);
}

/** What is to be said of a bar besides its numbers. @param {Bar} bar */
export function markOf(bar) {
  const words = [];
  if (!bar.final) words.push("running");
  if (bar.rev > 0) words.push(`revised ${bar.rev}×`);
  if (bar.gap) words.push("trades missing");
  return words.join(", ");
}

export class Board {
  #root;
  /** Elements by their class, looked up once. @type {Map<string, HTMLElement>} */
  #parts = new Map();

  /** @param {HTMLElement} root @param {() => void} onRetry */
  constructor(root, onRetry) {
    this.#root = root;
    this.#part("overlay-retry").addEventListener("click", onRetry);
  }

  /** Symbol, last price, day. @param {import("./store.js").Quote} quote @param {number | null} change */
  heading(quote, change) {
    this.#write("symbol", quote.ticker);
    this.#write("venue", quote.venue);
    this.#write("price", formatPrice(quote.price, quote.decimals));
    this.#write("change", formatChange(change));
    tone(this.#part("change"), changeSign(change));
    this.#write("day-high", formatPrice(quote.high, quote.decimals));
    this.#write("day-low", formatPrice(quote.low, quote.decimals));
    this.#write("day-volume", formatVolume(quote.volume));
  }

  /** Title of a symbol that nobody has traded yet. @param {string | null} symbol */
  unknown(symbol) {
    for (const css of ["price", "day-high", "day-low", "day-volume"]) this.#write(css, "–");
    this.#write("change", "");
    this.#write("symbol", symbol ?? "–");
    this.#write("venue", "");
  }

  /** Values of one bar. @param {Bar | undefined} bar @param {Bar | undefined} before @param {number} decimals */
  legend(bar, before, decimals) {
    this.#part("legend").hidden = !bar;
    if (!bar) return;
    this.#write("legend-time", formatUtc(bar.time));
    this.#write("legend-open", formatPrice(bar.open, decimals));
    this.#write("legend-high", formatPrice(bar.high, decimals));
    this.#write("legend-low", formatPrice(bar.low, decimals));
    this.#write("legend-close", formatPrice(bar.close, decimals));
    const change = bar.close / (before?.close ?? bar.open) - 1;
    this.#write("legend-change", formatChange(change));
    tone(this.#part("legend-change"), changeSign(change));
    this.#write("legend-volume", formatVolume(bar.volume));
    this.#write("legend-trades", bar.trades.toLocaleString("en-US"));
    const mark = markOf(bar);
    this.#part("legend-mark").hidden = !mark;
    this.#part("legend-mark").classList.toggle("warn", bar.gap);
    this.#write("legend-mark", mark);
  }

  /**
   * Time until the running bar ends.
   * @param {Bar | undefined} bar
   * @param {import("./timeframes.js").Timeframe} timeframe
   * @param {number} serverMs the server's time now
   */
  countdown(bar, timeframe, serverMs) {
    const left = bar ? bar.time + SECONDS[timeframe] - serverMs / 1000 : -1;
    const isRunning = left >= 0 && left <= SECONDS[timeframe];
    this.#write("countdown", isRunning ? `ends in ${formatCountdown(left)}` : "");
  }

  /** What is wrong while there is a chart all the same. @param {string} text */
  note(text) {
    this.#part("pane-note").hidden = !text;
    this.#write("pane-note", text);
  }

  /** Cover the chart while there is nothing to draw. @param {string} title @param {string} text */
  wait(title, text) {
    this.#cover("waiting", title, text);
  }

  /** Cover the chart: it cannot be had. @param {string} title @param {string} text */
  problem(title, text) {
    this.#cover("problem", title, text);
  }

  uncover() {
    this.#part("overlay").hidden = true;
  }

  /** @param {"waiting" | "problem"} kind @param {string} title @param {string} text */
  #cover(kind, title, text) {
    const overlay = this.#part("overlay");
    overlay.hidden = false;
    overlay.dataset.kind = kind;
    this.#part("overlay-retry").hidden = kind !== "problem";
    this.#write("overlay-title", title);
    this.#write("overlay-text", text);
  }

  /** @param {string} css @param {string} text */
  #write(css, text) {
    setText(this.#part(css), text);
  }

  /** @param {string} css @returns {HTMLElement} */
  #part(css) {
    const known = this.#parts.get(css);
    if (known) return known;
    const found = this.#root.querySelector(`.${css}`);
    if (!(found instanceof HTMLElement)) throw new Error(`a pane has no element of class ${css}`);
    this.#parts.set(css, found);
    return found;
  }
}
