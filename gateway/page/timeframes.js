/** The timeframes a bar may have, and the names of their stream channels. Pure. */

/** @typedef {"1Min" | "5Min" | "15Min" | "1Hour" | "4Hour" | "1Day"} Timeframe */

/** Length in seconds of each timeframe. @type {Readonly<Record<Timeframe, number>>} */
export const SECONDS = Object.freeze({
  "1Min": 60, "5Min": 300, "15Min": 900, "1Hour": 3600, "4Hour": 14_400, "1Day": 86_400,
});

/** In the order shown: short for the eye, in words for the ear. */
export const TIMEFRAMES = Object.freeze(
  /** @type {{name: Timeframe, label: string, words: string}[]} */ ([
    { name: "1Min", label: "1m", words: "1 minute" },
    { name: "5Min", label: "5m", words: "5 minutes" },
    { name: "15Min", label: "15m", words: "15 minutes" },
    { name: "1Hour", label: "1h", words: "1 hour" },
    { name: "4Hour", label: "4h", words: "4 hours" },
    { name: "1Day", label: "1D", words: "1 day" },
  ]),
);

/** @type {Timeframe} */
export const DEFAULT_TIMEFRAME = "1Min";

/** The longest timeframe that the stream carries. @type {Timeframe} */
const LONGEST_STREAMED = "15Min";

/** @param {unknown} text @returns {text is Timeframe} */
export function isTimeframe(text) {
  return typeof text === "string" && Object.hasOwn(SECONDS, text);
}

/** @param {Timeframe} timeframe */
export function wordsOf(timeframe) {
  return TIMEFRAMES.find(({ name }) => name === timeframe)?.words ?? timeframe;
}

/** Start of the window that holds a time. @param {number} seconds @param {Timeframe} timeframe */
export function windowStart(seconds, timeframe) {
  return seconds - (seconds % SECONDS[timeframe]);
}

/** The streamed timeframe whose bars make up this one; itself where it is streamed. @param {Timeframe} timeframe */
export function streamedFor(timeframe) {
  return SECONDS[timeframe] > SECONDS[LONGEST_STREAMED] ? LONGEST_STREAMED : timeframe;
}

/**
 * The stream channels that carry closed, updated and running bars.
 * @param {Timeframe} timeframe one that is streamed
 */
export function barChannels(timeframe) {
  const suffix = timeframe === "1Min" ? "" : timeframe;
  return [`bars${suffix}`, `updatedBars${suffix}`, `runningBars${suffix}`];
}
