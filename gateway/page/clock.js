/** The server's clock, estimated, and the age of trades when they reach the screen. Pure. */

const KEPT_PROBES = 12; // one a status poll: a minute's worth
const WINDOW_MS = 1000; // the latency shown is the median over this long
const MAX_SAMPLES = 2000; // in a window; later ones are left out, so memory is bounded
const LIVE_WITHIN_MS = 600_000; // older event times mean a replay, not a slow feed

/** Offset of the server's clock to ours: the probe with the shortest way is the most exact. */
export class ServerClock {
  /** @type {{offset: number, roundTrip: number}[]} */
  #probes = [];

  /**
   * @param {number} sentMs our time when the request left
   * @param {number} receivedMs our time when the answer was there
   * @param {number} serverMs the server's time in the answer
   */
  probe(sentMs, receivedMs, serverMs) {
    if (!Number.isFinite(serverMs)) return;
    const offset = serverMs - (sentMs + receivedMs) / 2;
    this.#probes.push({ offset, roundTrip: receivedMs - sentMs });
    if (this.#probes.length > KEPT_PROBES) this.#probes.shift();
  }

  /** Server time minus our time; 0 while unknown. */
  get offsetMs() {
    if (!this.#probes.length) return 0;
    return this.#probes.reduce((a, b) => (b.roundTrip < a.roundTrip ? b : a)).offset;
  }
}

/** Median time from a trade's event time to the frame that shows it. */
export class LatencyMeter {
  /** @type {{at: number, latency: number}[]} */
  #samples = [];
  /** Age of the newest trade shown, for telling a replay. */
  #newest = NaN;

  /** @param {number} nowMs @param {number} latencyMs */
  add(nowMs, latencyMs) {
    this.#newest = latencyMs;
    this.#drop(nowMs);
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push({ at: nowMs, latency: latencyMs });
  }

  /** @param {number} nowMs @returns {number | null} null without a trade in the last second */
  median(nowMs) {
    this.#drop(nowMs);
    if (!this.#samples.length) return null;
    const sorted = this.#samples.map((sample) => sample.latency).sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /** Whether event times are close to now; false for a replay of an old day. */
  get isLive() {
    return !(Math.abs(this.#newest) > LIVE_WITHIN_MS);
  }

  /** @param {number} nowMs */
  #drop(nowMs) {
    let old = 0;
    while (old < this.#samples.length && this.#samples[old].at < nowMs - WINDOW_MS) old += 1;
    if (old) this.#samples.splice(0, old);
  }
}
