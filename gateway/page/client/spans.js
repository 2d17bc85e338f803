/** Which rows are asked for: times and limits, checked before anything is asked. Pure. */

const ACCEPTED = "RFC 3339 text as 2024-03-12T10:37:00Z, a date as 2024-03-12, or a Date";

/**
 * What a caller gave as parameters of a request.
 * @template {{start?: any, end?: any, limit?: any}} T
 * @param {T} span
 * @returns {Omit<T, "start" | "end"> & {start?: string, end?: string}}
 * @throws {TypeError | RangeError} a time that is none, or could be meant in several ways; a limit
 *   that is no whole number from 1
 */
export function checkedSpan(span) {
  if (span.limit !== undefined) checkLimit(span.limit);
  /** @type {any} */
  const checked = { ...span };
  for (const name of /** @type {const} */ (["start", "end"])) {
    if (span[name] !== undefined) checked[name] = timeText(name, span[name]);
  }
  return checked;
}

/** @param {string} name @param {any} time @returns {string} */
function timeText(name, time) {
  if (typeof time === "string") return time;
  if (!(time instanceof Date)) {
    const hint = typeof time === "number" ? " (of milliseconds: new Date(…))" : "";
    throw new TypeError(`${name} was ${time}; expected ${ACCEPTED}${hint}`);
  }
  if (Number.isNaN(time.getTime())) throw new RangeError(`${name} is an invalid Date`);
  return time.toISOString();
}

/** @param {any} limit */
function checkLimit(limit) {
  const isAll = limit === Infinity;
  if (!isAll && !Number.isSafeInteger(limit)) {
    throw new TypeError(`limit: expected a whole number from 1, was ${limit}`);
  }
  if (limit < 1) throw new RangeError(`limit: expected 1 or more, was ${limit}`);
}
