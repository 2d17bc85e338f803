/** The timeframes a bar may have, and the names of their stream channels. Pure. */

/** @typedef {"1Min" | "5Min" | "15Min"} Timeframe */

/** Length in seconds of each timeframe. @type {Readonly<Record<Timeframe, number>>} */
export const SECONDS = Object.freeze({ "1Min": 60, "5Min": 300, "15Min": 900 });

/** @type {Timeframe} */
export const DEFAULT_TIMEFRAME = "1Min";

/** @param {string} text @returns {text is Timeframe} */
export function isTimeframe(text) {
  return Object.hasOwn(SECONDS, text);
}

/** Start of the window that holds a time. @param {number} seconds @param {Timeframe} timeframe */
export function windowStart(seconds, timeframe) {
  return seconds - (seconds % SECONDS[timeframe]);
}

/**
 * The stream channels that carry closed, updated and running bars.
 * @param {Timeframe} timeframe
 */
export function barChannels(timeframe) {
  const suffix = timeframe === "1Min" ? "" : timeframe;
  return [`bars${suffix}`, `updatedBars${suffix}`, `runningBars${suffix}`];
}
