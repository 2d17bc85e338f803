/** How long to wait: for the next attempt, for a new token. Pure. */

const RENEW_EARLY_MS = 60_000; // before a token expires

/**
 * Full jitter: evenly spread between the floor and a ceiling that doubles, so that the clients of
 * a gateway do not come back in one instant. Pure: chance comes from the caller.
 * @param {number} attempt 0 for the first
 * @param {number} chance in [0, 1)
 * @param {{firstMs?: number, capMs?: number, floorMs?: number}} [backoff]
 * @returns {number} milliseconds
 */
export function waitMs(attempt, chance, { firstMs = 1000, capMs = 5000, floorMs = 100 } = {}) {
  const longest = Math.min(capMs, firstMs * 2 ** Math.min(attempt, 30));
  return floorMs + chance * Math.max(0, longest - floorMs);
}

/**
 * In how many milliseconds a new token should be shown; null: never, it does not say. A clock by which
 * it is not issued yet, or has expired already, is wrong: then it lasts as long as it was made for.
 * @param {string} token just given
 * @param {number} nowMs
 */
export function renewalMs(token, nowMs) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    const isWrong = nowMs < claims.iat * 1000 || (nowMs > claims.exp * 1000 && claims.iat > 0);
    const left = claims.exp * 1000 - (isWrong ? claims.iat * 1000 : nowMs);
    return Number.isFinite(left) ? Math.max(1000, left - RENEW_EARLY_MS, left * 0.8) : null;
  } catch {
    return null;
  }
}
