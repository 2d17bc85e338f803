/** When to try again. Pure: chance comes from the caller. */

const BASE_MS = 1000;
const CAP_MS = 30_000;
const FLOOR_MS = 250; // a full-jitter draw near zero would hammer a server that refuses at once

/**
 * Full jitter: anywhere between the floor and the doubling ceiling, so that the pages of a whole
 * floor do not come back in the same instant.
 * @param {number} attempt 0 for the first retry
 * @param {number} chance in [0, 1)
 * @returns {number} milliseconds
 */
export function backoffMs(attempt, chance) {
  const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 10));
  return FLOOR_MS + chance * (ceiling - FLOOR_MS);
}
