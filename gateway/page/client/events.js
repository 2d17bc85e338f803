/** What a stream tells, and to whom. */

/**
 * How the connection stands. `retryAt` is when the next attempt comes, by `performance.now()`.
 * @typedef {{phase: "connecting" | "live" | "lost" | "closed", reason: string, attempt: number, retryAt: number}} State
 */

/**
 * What handlers are called for: a type of message by name, every message that counts as received
 * (`batch`), a change of the connection (`state`), the gateway's agreement to all that was asked
 * for (`settled`, on each connection and after each change), an error of the gateway that answers
 * no request (`problem`).
 * @typedef {object} Events
 * @property {import("./messages.js").Trade} trade
 * @property {import("./messages.js").Bar} bar
 * @property {import("./messages.js").Bar} updatedBar
 * @property {import("./messages.js").Bar} runningBar
 * @property {import("./messages.js").Correction} correction
 * @property {import("./messages.js").Cancel} cancel
 * @property {import("./messages.js").Gap} gap
 * @property {import("./messages.js").Heartbeat} heartbeat
 * @property {import("./messages.js").Stale} stale
 * @property {import("./messages.js").Shutdown} shutdown
 * @property {import("./messages.js").Message[]} batch
 * @property {State} state
 * @property {import("./messages.js").Channels} settled
 * @property {import("./errors.js").Refused} problem
 */

/** By the type of a message. @type {Record<string, keyof Events>} */
const EVENT_OF = {
  t: "trade", b: "bar", u: "updatedBar", r: "runningBar", c: "correction", x: "cancel",
  gap: "gap", hb: "heartbeat", stale: "stale", shutdown: "shutdown",
};

/** Handlers by what they are called for. */
export class Handlers {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #handlers = new Map();

  /** @param {keyof Events} kind @param {(value: any) => void} handler @returns {() => void} takes it away again */
  add(kind, handler) {
    const handlers = this.#handlers.get(kind) ?? new Set();
    this.#handlers.set(kind, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  /** As the events of a browser do: one that throws is reported, and costs the others nothing. @param {keyof Events} kind @param {any} value */
  tell(kind, value) {
    for (const handler of this.#handlers.get(kind) ?? []) {
      try {
        handler(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** What counts as received: at once, then one by one. @param {import("./messages.js").Message[]} batch */
  tellAll(batch) {
    this.tell("batch", batch);
    for (const message of batch) {
      const kind = EVENT_OF[message.T];
      if (kind) this.tell(kind, message); // later versions may add types
    }
  }
}
