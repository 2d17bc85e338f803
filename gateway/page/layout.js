/**
 * Which charts are shown, and how the address says it: `#SYMBOL/5Min` for one, with commas
 * between several, `#/status` for the view of the system's state. Pure.
 */

import { DEFAULT_TIMEFRAME, isTimeframe } from "./timeframes.js";

/** How many charts may stand side by side. */
export const COUNTS = Object.freeze([1, 2, 4]);

const STATUS_HASH = "#/status";
const MAX_SYMBOL = 64; // a symbol is shorter; more is no address of ours

/** One chart; without a symbol it takes the first that is known. */
/** @typedef {{symbol: string | null, timeframe: import("./timeframes.js").Timeframe}} Plan */

/** The layout that has room for so many charts. @param {number} charts */
export function roomFor(charts) {
  return COUNTS.find((count) => count >= charts) ?? /** @type {number} */ (COUNTS.at(-1));
}

/** @param {string} text "KRAKEN:BTC/USD/5Min": the symbol itself may hold a slash @returns {Plan} */
function parsePlan(text) {
  const slash = text.lastIndexOf("/");
  const tail = text.slice(slash + 1);
  const [symbol, timeframe] =
    slash >= 0 && isTimeframe(tail) ? [text.slice(0, slash), tail] : [text, DEFAULT_TIMEFRAME];
  return { symbol: symbol.slice(0, MAX_SYMBOL) || null, timeframe };
}

/**
 * @param {string} hash
 * @returns {{isStatus: boolean, plans: Plan[]}} no plans where the address names none
 */
export function parseHash(hash) {
  if (hash === STATUS_HASH) return { isStatus: true, plans: [] };
  let text = hash.replace(/^#/, "");
  try {
    text = decodeURIComponent(text);
  } catch {
    // a stray % typed by hand: take the text as it stands
  }
  const parts = text.split(",").filter(Boolean).slice(0, COUNTS.at(-1));
  return { isStatus: false, plans: parts.map(parsePlan) };
}

/** @param {readonly Plan[]} plans */
export function makeHash(plans) {
  const parts = plans
    .filter((plan) => plan.symbol !== null)
    .map(({ symbol, timeframe }) => `${encodeURIComponent(symbol ?? "")}/${timeframe}`);
  return `#${parts.join(",").replaceAll("%3A", ":").replaceAll("%2F", "/")}`;
}

export const statusHash = STATUS_HASH;

/** Plans out of what a browser kept, whatever that is. @param {unknown} value @returns {Plan[]} */
export function parseStored(value) {
  if (!Array.isArray(value)) return [];
  return value
    .filter((plan) => typeof plan?.symbol === "string" && isTimeframe(plan.timeframe))
    .map(({ symbol, timeframe }) => ({ symbol: symbol.slice(0, MAX_SYMBOL), timeframe }))
    .slice(0, COUNTS.at(-1));
}

/**
 * The same charts in another number: the first stay, new ones take symbols not shown yet.
 * @param {readonly Plan[]} plans
 * @param {number} count
 * @param {readonly string[]} symbols to choose from, the wanted ones first
 * @returns {Plan[]}
 */
export function resize(plans, count, symbols) {
  const kept = plans.slice(0, count);
  const shown = new Set(kept.map((plan) => plan.symbol));
  const others = symbols.filter((symbol) => !shown.has(symbol));
  const timeframe = kept[0]?.timeframe ?? DEFAULT_TIMEFRAME;
  while (kept.length < count) {
    kept.push({ symbol: others.shift() ?? kept[0]?.symbol ?? null, timeframe });
  }
  return kept;
}
