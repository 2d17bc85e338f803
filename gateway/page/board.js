/** The words and numbers around the chart: heading, legend, overlay, foot. */

import { changeSign, formatChange, formatCountdown, formatPrice, formatUtc, formatVolume } from "./format.js";
import { byId, setText } from "./frames.js";
import { SECONDS } from "./timeframes.js";

/** @typedef {import("./bars.js").Bar} Bar */

/** @param {HTMLElement} element @param {number} sign */
function tone(element, sign) {
  element.classList.toggle("up", sign > 0);
  element.classList.toggle("down", sign < 0);
}

/** @param {Bar} bar */
function markOf(bar) {
  const words = [];
  if (!bar.final) words.push("running");
  if (bar.rev > 0) words.push(`revised ${bar.rev}×`);
  if (bar.gap) words.push("trades missing");
  return words.join(", ");
}

/** Heading: symbol, last price, day. @param {import("./store.js").Quote} quote @param {number | null} change */
export function showHeading(quote, change) {
  setText(byId("symbol"), quote.ticker);
  setText(byId("venue"), quote.venue);
  setText(byId("price"), formatPrice(quote.price, quote.decimals));
  setText(byId("change"), formatChange(change));
  tone(byId("change"), changeSign(change));
  setText(byId("day-high"), formatPrice(quote.high, quote.decimals));
  setText(byId("day-low"), formatPrice(quote.low, quote.decimals));
  setText(byId("day-volume"), formatVolume(quote.volume));
}

/** Title of a symbol that nobody has traded yet. @param {string} symbol */
export function showUnknown(symbol) {
  for (const id of ["price", "change", "day-high", "day-low", "day-volume"]) setText(byId(id), "–");
  setText(byId("symbol"), symbol);
  setText(byId("venue"), "");
}

/** Values of one bar. @param {Bar | undefined} bar @param {Bar | undefined} before @param {number} decimals */
export function showLegend(bar, before, decimals) {
  byId("legend").hidden = !bar;
  if (!bar) return;
  setText(byId("legend-time"), formatUtc(bar.time));
  setText(byId("legend-open"), formatPrice(bar.open, decimals));
  setText(byId("legend-high"), formatPrice(bar.high, decimals));
  setText(byId("legend-low"), formatPrice(bar.low, decimals));
  setText(byId("legend-close"), formatPrice(bar.close, decimals));
  const change = bar.close / (before?.close ?? bar.open) - 1;
  setText(byId("legend-change"), formatChange(change));
  tone(byId("legend-change"), changeSign(change));
  setText(byId("legend-volume"), formatVolume(bar.volume));
  setText(byId("legend-trades"), bar.trades.toLocaleString("en-US"));
  const mark = markOf(bar);
  byId("legend-mark").hidden = !mark;
  setText(byId("legend-mark"), mark);
}

/**
 * Time until the running bar ends.
 * @param {Bar | undefined} bar
 * @param {import("./timeframes.js").Timeframe} timeframe
 * @param {number} serverMs the server's time now
 */
export function showCountdown(bar, timeframe, serverMs) {
  const left = bar ? bar.time + SECONDS[timeframe] - serverMs / 1000 : -1;
  const isRunning = left >= 0 && left <= SECONDS[timeframe];
  setText(byId("countdown"), isRunning ? `bar ends in ${formatCountdown(left)}` : "");
}

/** What covers the chart while there is nothing to draw. */
export class Overlay {
  #box = byId("overlay");
  #retry = byId("overlay-retry");

  /** @param {() => void} onRetry */
  constructor(onRetry) {
    this.#retry.addEventListener("click", onRetry);
  }

  /** @param {string} title @param {string} text */
  wait(title, text) {
    this.#show("waiting", title, text);
  }

  /** @param {string} title @param {string} text */
  problem(title, text) {
    this.#show("problem", title, text);
  }

  hide() {
    this.#box.hidden = true;
    setText(byId("overlay-title"), "");
  }

  /** @param {"waiting" | "problem"} kind @param {string} title @param {string} text */
  #show(kind, title, text) {
    this.#box.hidden = false;
    this.#box.dataset.kind = kind;
    this.#retry.hidden = kind !== "problem";
    setText(byId("overlay-title"), title);
    setText(byId("overlay-text"), text);
  }
}
