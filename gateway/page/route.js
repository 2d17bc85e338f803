/** The deep link: `#SYMBOL/5Min`. Pure. */

import { DEFAULT_TIMEFRAME, isTimeframe } from "./timeframes.js";

/**
 * @param {string} hash such as "#KRAKEN:BTC/USD/5Min"; the symbol itself may hold a slash
 * @returns {{symbol: string | null, timeframe: import("./timeframes.js").Timeframe}}
 */
export function parseHash(hash) {
  let text = hash.replace(/^#/, "");
  try {
    text = decodeURIComponent(text);
  } catch {
    // a stray % typed by hand: take the text as it stands
  }
  const slash = text.lastIndexOf("/");
  const tail = text.slice(slash + 1);
  if (slash >= 0 && isTimeframe(tail)) {
    return { symbol: text.slice(0, slash) || null, timeframe: tail };
  }
  return { symbol: text || null, timeframe: DEFAULT_TIMEFRAME };
}

/** @param {string} symbol @param {import("./timeframes.js").Timeframe} timeframe */
export function makeHash(symbol, timeframe) {
  return `#${encodeURIComponent(symbol).replaceAll("%3A", ":").replaceAll("%2F", "/")}/${timeframe}`;
}
