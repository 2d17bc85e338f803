/** Ask again and again, politely: less often while there is no answer, not at all when unseen. */

const SLOWEST_MS = 60_000;

export class Poll {
  #everyMs;
  #ask;
  #failures = 0;
  #isAsking = false;
  /** @type {number | undefined} */
  #timer;

  /**
   * @param {number} everyMs
   * @param {() => Promise<boolean>} ask whether there was an answer
   */
  constructor(everyMs, ask) {
    this.#everyMs = everyMs;
    this.#ask = ask;
  }

  start() {
    this.now();
  }

  /** Ask at once, if not asking already. */
  async now() {
    if (this.#isAsking) return;
    clearTimeout(this.#timer);
    this.#isAsking = true;
    try {
      this.#failures = (await this.#ask()) ? 0 : this.#failures + 1;
    } finally {
      this.#isAsking = false;
      this.#wait();
    }
  }

  #wait() {
    const waitMs = Math.min(SLOWEST_MS, this.#everyMs * 2 ** Math.min(this.#failures, 8));
    this.#timer = setTimeout(() => {
      if (document.hidden) this.#wait();
      else this.now();
    }, waitMs);
  }
}
