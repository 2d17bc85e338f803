/** Small lines of the last hours' closes, one request for all of them. */

import { Backoff, mayPass } from "./backoff.js";
import { tone } from "./board.js";
import { ofReadable } from "./readable.js";

const TIMEFRAME = /** @type {const} */ ("15Min");
const SPAN_MS = 8 * 3_600_000; // 32 closes a symbol: 100 symbols are a third of the largest page
const RENEW_MS = 900_000; // as often as a new close comes
const WIDTH = 62;
const HEIGHT = 22;
const SVG = "http://www.w3.org/2000/svg";

export class Sparks {
  #client;
  /** @type {Map<string, number[]>} */
  #closes = new Map();
  /** What was asked for last, and when. */
  #asked = "";
  #askedMs = -Infinity;
  #backoff = new Backoff();

  /** @param {import("./tickgate.js").Client} client */
  constructor(client) {
    this.#client = client;
  }

  /**
   * Read the closes of these symbols where it is time to.
   * @param {readonly string[]} symbols
   * @param {number} serverMs
   * @returns {Promise<boolean>} whether there are new ones
   * @throws {ClientError} they cannot be had now; a later call asks again
   */
  async renew(symbols, serverMs) {
    const names = symbols.join();
    // The other way, too: before the gateway's clock is known this browser's may be hours ahead.
    const isNew = names !== this.#asked || Math.abs(serverMs - this.#askedMs) >= RENEW_MS;
    if (!names || !isNew || !this.#backoff.isDue) return false;
    this.#asked = names;
    this.#askedMs = serverMs;
    try {
      this.#closes = await this.#read(symbols, serverMs);
    } catch (error) {
      if (mayPass(error)) {
        this.#asked = "";
        this.#backoff.failed();
      }
      throw error;
    }
    this.#backoff.reset();
    return true;
  }

  /** @param {readonly string[]} symbols @param {number} serverMs */
  async #read(symbols, serverMs) {
    const start = new Date(serverMs - SPAN_MS).toISOString();
    /** @type {Map<string, number[]>} */
    const closes = new Map(symbols.map((symbol) => [symbol, []]));
    const ask = (/** @type {string[]} */ some) => this.#client.bars(some, TIMEFRAME, { start });
    for (const bar of await ofReadable(this.#client, symbols, ask)) {
      closes.get(bar.S)?.push(bar.c);
    }
    return closes;
  }

  /** Ask again at the next chance: what is known may be old. */
  forget() {
    this.#asked = "";
    this.#backoff.reset();
  }

  /**
   * @param {SVGElement} svg
   * @param {string} symbol
   * @param {number | null} price the last one, where the line ends
   */
  draw(svg, symbol, price) {
    const closes = this.#closes.get(symbol) ?? [];
    const values = price === null ? closes : [...closes, price];
    const points = values.length < 3 ? "" : pointsOf(values);
    if (svg.dataset.points === points) return;
    svg.dataset.points = points;
    const line = svg.firstElementChild ?? svg.appendChild(document.createElementNS(SVG, "polyline"));
    line.setAttribute("points", points);
    tone(svg, values[values.length - 1] - values[0]);
  }
}

/** @param {number[]} values at least two */
function pointsOf(values) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = WIDTH / (values.length - 1);
  return values
    .map((value, index) => {
      const y = HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4);
      return `${(index * step).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}
