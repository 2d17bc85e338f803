/** What came of trades in the last seconds, of all symbols: a chart that is chosen begins with it. Pure. */

const KEPT = 4000; // messages; a busy market's last seconds, a quiet one's last minutes

export class Recent {
  /** @type {any[]} */
  #messages = [];
  #next = 0;

  /** The oldest goes where there is no room. @param {any} message {T: "t" | "c" | "x" | "gap", S, …} */
  put(message) {
    this.#messages[this.#next] = message;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** Those of a symbol without a hole between them, oldest first. @param {string | null} symbol @returns {any[]} */
  of(symbol) {
    const { length } = this.#messages;
    const from = length < KEPT ? 0 : this.#next;
    const all = [...this.#messages.slice(from), ...this.#messages.slice(0, from)];
    return all.filter((message) => message.S === symbol || message.S === "*");
  }

  /** What comes from now on does not follow what came: the connection was lost, say. */
  clear() {
    this.#messages = [];
    this.#next = 0;
  }
}
