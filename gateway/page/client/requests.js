/** What a stream asks of the gateway. Pure. */

import { pairs } from "./messages.js";

/** @typedef {import("./messages.js").Channels} Channels */

/**
 * @typedef {object} StreamOptions
 * @property {string} [resume] the cursor of an earlier stream: go on where it stands
 * @property {"resume" | "snapshot"} [recover] after a lost connection: go on where the newest
 *   cursor stands (the default), or begin with a snapshot, without cursors
 * @property {"all" | "latest"} [mode] `latest`: the newest message of each symbol and channel
 * @property {number} [intervalMs] length of the batch windows; the gateway's
 * @property {number} [heartbeatMs] time between the gateway's heartbeats, 15,000; 0: there are none
 * @property {number} [maxAttempts] how often in a row a lost connection is tried again; for ever
 * @property {{firstMs?: number, capMs?: number, floorMs?: number}} [backoff] 1,000, 5,000, 100
 * @property {typeof globalThis.WebSocket} [WebSocket] where there is no global one
 */

/** @typedef {import("./access.js").Access & StreamOptions} Options */

/**
 * A change that was not answered yet.
 * @typedef {{action: "subscribe" | "unsubscribe", channels: Channels, snapshot: boolean,
 *   resolve: () => void, reject: (error: Error) => void}} Ask
 */

/** What was asked last. @typedef {{request: any, channels: Channels, ask?: Ask, isLost?: boolean}} Sent */

/**
 * The request for a set of channels.
 * @param {Channels} channels
 * @param {Options} options
 * @param {boolean} snapshot
 * @param {string} resume the cursor to go on from; empty: begin now
 * @returns {Sent}
 */
export function subscription(channels, { mode, intervalMs, recover }, snapshot, resume) {
  /** @type {any} */
  const request = { action: "subscribe", ...channels };
  if (mode) request.mode = mode;
  if (intervalMs !== undefined) request.interval_ms = intervalMs;
  if (snapshot) request.snapshot = true;
  if (recover !== "snapshot") request.cursor = true;
  if (resume) request.resume = resume;
  return { request, channels };
}

/**
 * Does a `subscription` answer what was sent? One comes unasked where a right of the caller has
 * ended; that one does not have what is being added yet, and still has what is being taken off. One
 * that cannot be told from the answer says the same.
 * @param {Channels} set as it came
 * @param {Sent} sent
 */
export function isAnswer(set, { request, channels }) {
  const named = pairs(channels).filter(([channel]) => set[channel]); // `symbols` is no channel
  const isIn = (/** @type {[string, string]} */ [channel, symbol]) => set[channel].includes(symbol);
  if (request.action === "subscribe") return named.every(isIn);
  return request.action === "unsubscribe" && !named.some(isIn);
}

/**
 * What of a set has ended with a right of the caller: it is not in the next one, though nobody took it off.
 * @param {Channels} before
 * @param {Channels} left
 * @param {Sent | null} sent what was asked meanwhile
 * @returns {import("./errors.js").Names | null} the symbols of which nothing is left, and the channels
 *   that others have lost; null where nothing has ended
 */
export function ended(before, left, sent) {
  const { symbols: both = [], ...named } = sent?.request.action === "unsubscribe" ? sent.channels : {};
  const takenOff = pairs({ trades: both, bars: both }).concat(pairs(named)); // `symbols` is short for these
  const kept = new Set(pairs(left).concat(takenOff).map(String));
  const gone = pairs(before).filter((pair) => !kept.has(String(pair)));
  if (!gone.length) return null;
  const still = new Set(Object.values(left).flat());
  const others = gone.filter(([channel, symbol]) => !left[channel] && still.has(symbol));
  return {
    symbols: [...new Set(gone.map(([, symbol]) => symbol))].filter((symbol) => !still.has(symbol)),
    channels: [...new Set(others.map(([channel]) => channel))],
  };
}

/**
 * A set without what was refused of it.
 * @param {Channels} set
 * @param {import("./errors.js").Refused} refused
 * @returns {Channels | null} null where nothing would be left, or nothing of the set is named
 */
export function without(set, refused) {
  const [symbols, channels] = [new Set(refused.symbols), new Set(refused.channels)];
  const left = pairs(set).filter(
    ([channel, symbol]) => !channels.has(channel) && !symbols.has(symbol),
  );
  if (!left.length || left.length === pairs(set).length) return null;
  /** @type {Channels} */
  const kept = {};
  for (const [channel, symbol] of left) (kept[channel] ??= []).push(symbol);
  return kept;
}
