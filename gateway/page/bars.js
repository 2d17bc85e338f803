/** The bars of one chart: history and live messages merged into one ordered series. Pure. */

/**
 * One bar. `time` is the start of its window in UNIX seconds.
 * `final` is false for a running bar; `rev` counts revisions of a closed one.
 * @typedef {{time: number, open: number, high: number, low: number, close: number,
 *   volume: number, trades: number, vwap: number | null, rev: number,
 *   final: boolean, gap: boolean}} Bar
 */

/**
 * A bar as the API and the stream spell it.
 * @param {any} wire {t,o,h,l,c,v,n,vw,rev,final,gap}
 * @param {boolean} final whether it counts as closed when the message does not say
 * @returns {Bar}
 */
export function barFromWire(wire, final) {
  return {
    time: Math.floor(Date.parse(wire.t) / 1000),
    open: wire.o,
    high: wire.h,
    low: wire.l,
    close: wire.c,
    volume: wire.v,
    trades: wire.n ?? 0,
    vwap: wire.vw ?? null,
    rev: wire.rev ?? 0, // the stream leaves it out where it is 0
    final: wire.final ?? final,
    gap: wire.gap ?? false,
  };
}

/** Whether *next* may replace *old* in the same window. @param {Bar} old @param {Bar} next */
export function supersedes(old, next) {
  if (old.final && !next.final) return false; // a running bar that was overtaken
  if (old.final !== next.final) return true;
  return next.rev >= old.rev;
}

/** Ordered by time, one bar per window; memory is bounded by what the user scrolled to. */
export class BarSeries {
  /** @type {Bar[]} */
  #bars = [];
  /** @type {Map<number, Bar>} */
  #byTime = new Map();

  get length() {
    return this.#bars.length;
  }

  /** All bars, oldest first. Do not change it. @returns {readonly Bar[]} */
  get bars() {
    return this.#bars;
  }

  /** @returns {Bar | undefined} */
  get last() {
    return this.#bars.at(-1);
  }

  /** Newest closed bar. @returns {Bar | undefined} */
  get lastFinal() {
    return this.#bars.findLast((bar) => bar.final);
  }

  /** @param {number} time @returns {Bar | undefined} */
  at(time) {
    return this.#byTime.get(time);
  }

  /** The bar before the one that starts at *time*. @param {number} time */
  before(time) {
    const index = this.#indexOf(time);
    return index > 0 ? this.#bars[index - 1] : undefined;
  }

  /**
   * Take one bar in. One without trades, which were all cancelled, takes the one there is away.
   * @param {Bar} bar
   * @returns {"append" | "replace" | "insert" | "remove" | "ignored"} what it did to the series
   */
  put(bar) {
    const old = this.#byTime.get(bar.time);
    if (!bar.trades) {
      if (!old || !supersedes(old, bar)) return "ignored";
      this.remove(bar.time);
      return "remove";
    }
    if (old) {
      if (!supersedes(old, bar)) return "ignored";
      this.#bars[this.#indexOf(bar.time)] = bar;
      this.#byTime.set(bar.time, bar);
      return "replace";
    }
    this.#byTime.set(bar.time, bar);
    if (!this.#bars.length || bar.time > this.#bars[this.#bars.length - 1].time) {
      this.#bars.push(bar);
      return "append";
    }
    this.#bars.splice(this.#indexOf(bar.time), 0, bar);
    return "insert";
  }

  /**
   * Take one bar in whatever there is: it was made of all that is known of its window.
   * @param {Bar} bar
   */
  set(bar) {
    const old = this.#byTime.get(bar.time);
    if (old && bar.trades) {
      this.#bars[this.#indexOf(bar.time)] = bar;
      this.#byTime.set(bar.time, bar);
      return "replace";
    }
    if (!old) return bar.trades ? this.put(bar) : "ignored";
    this.remove(bar.time);
    return "remove";
  }

  /** Take a bar away. @param {number} time */
  remove(time) {
    if (!this.#byTime.delete(time)) return;
    this.#bars.splice(this.#indexOf(time), 1);
  }

  /**
   * Take many bars in at once, such as a page of history.
   * @param {Bar[]} bars any order
   * @param {boolean} [isSure] whether they stand whatever is there
   * @returns {number} how many windows are new
   */
  putAll(bars, isSure = false) {
    const before = this.#byTime.size;
    for (const bar of bars) {
      const old = this.#byTime.get(bar.time);
      if (!old || isSure || supersedes(old, bar)) this.#byTime.set(bar.time, bar);
    }
    this.#bars = [...this.#byTime.values()].sort((a, b) => a.time - b.time);
    return this.#byTime.size - before;
  }

  /**
   * Move the running bar with a trade, between two running bars from the server, which then
   * correct what this guess cannot know (volume; trades that were conflated).
   * @param {number} start window of the trade
   * @param {number} price
   * @param {number} size
   * @param {boolean} isNewest whether no later trade has been seen: then it is the close
   * @returns {"append" | "replace" | "ignored"}
   */
  touch(start, price, size, isNewest) {
    const last = this.last;
    if (!last || start > last.time) {
      const bar = {
        time: start, open: price, high: price, low: price, close: price, volume: size,
        trades: 1, vwap: price, rev: 0, final: false, gap: false,
      };
      this.put(bar);
      return "append";
    }
    if (start < last.time || last.final) return "ignored";
    this.put({
      ...last,
      close: isNewest ? price : last.close,
      high: Math.max(last.high, price),
      low: Math.min(last.low, price),
    });
    return "replace";
  }

  /** Forget the bars before *time*. @param {number} time */
  dropBefore(time) {
    this.#bars = this.#bars.filter((bar) => bar.time >= time);
    this.#byTime = new Map(this.#bars.map((bar) => [bar.time, bar]));
  }

  /** Index of the first bar at or after *time*. @param {number} time */
  #indexOf(time) {
    let low = 0;
    let high = this.#bars.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#bars[middle].time < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
