/** When to ask again for what did not come: later after each failure. */

import { Refused, waitMs } from "./tickgate.js";

const BACKOFF = { firstMs: 2000, capMs: 60_000, floorMs: 1000 };
const FINAL = [400, 403]; // such a request is refused the next time, too

/** Whether it makes sense to ask again after this. @param {unknown} error */
export function mayPass(error) {
  return !(error instanceof Refused) || !FINAL.includes(error.code);
}

export class Backoff {
  #failures = 0;
  #dueMs = 0;

  get isDue() {
    return performance.now() >= this.#dueMs;
  }

  failed() {
    this.#dueMs = performance.now() + waitMs(this.#failures, Math.random(), BACKOFF);
    this.#failures += 1;
  }

  /** It came, or things have changed: the next time is now, and the wait after it is short. */
  reset() {
    this.#failures = 0;
    this.#dueMs = 0;
  }
}
