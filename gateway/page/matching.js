/** Which symbols a search finds, the likeliest first. Pure. */

import { foldSymbol } from "./format.js";

/** 0 is the best; -1: it does not match. @param {{folded: string, ticker: string}} quote @param {string} wanted */
function rank(quote, wanted) {
  const ticker = foldSymbol(quote.ticker);
  if (ticker === wanted || quote.folded === wanted) return 0;
  if (ticker.startsWith(wanted)) return 1;
  if (quote.folded.startsWith(wanted)) return 2;
  return quote.folded.includes(wanted) ? 3 : -1;
}

/**
 * @template {{folded: string, ticker: string}} Quote
 * @param {readonly Quote[]} quotes in the order in which equals stay
 * @param {string} text as typed
 * @param {number} limit of what is given back
 * @returns {{found: Quote[], total: number}}
 */
export function search(quotes, text, limit) {
  const wanted = foldSymbol(text);
  const ranked = quotes
    .map((quote) => ({ quote, rank: rank(quote, wanted) }))
    .filter((each) => each.rank >= 0)
    .sort((a, b) => a.rank - b.rank);
  return { found: ranked.slice(0, limit).map((each) => each.quote), total: ranked.length };
}
