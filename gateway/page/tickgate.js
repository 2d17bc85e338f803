/**
 * The client of a tickgate gateway for browsers and Node: its stream and its history, without
 * dependencies. `import { connect, Client } from "http://HOST:PORT/static/tickgate.js"`.
 *
 * Messages are those of the wire protocol, as they come: `T` tells the type, times are RFC 3339.
 */

import { Stream } from "./client/stream.js";

export { Client } from "./client/client.js";
export { AuthFailed, ClientError, Refused, StreamClosed, Unreachable } from "./client/errors.js";
export { renewalMs, waitMs } from "./client/waits.js";
export { Stream };

/** @typedef {import("./client/messages.js").Channels} Channels */
/** @typedef {import("./client/messages.js").Message} Message */
/** @typedef {import("./client/messages.js").Trade} Trade */
/** @typedef {import("./client/messages.js").Bar} Bar */
/** @typedef {import("./client/messages.js").Correction} Correction */
/** @typedef {import("./client/messages.js").Cancel} Cancel */
/** @typedef {import("./client/messages.js").Gap} Gap */
/** @typedef {import("./client/messages.js").Heartbeat} Heartbeat */
/** @typedef {import("./client/messages.js").Stale} Stale */
/** @typedef {import("./client/messages.js").Shutdown} Shutdown */
/** @typedef {import("./client/events.js").Events} Events */
/** @typedef {import("./client/events.js").State} State */
/** @typedef {import("./client/requests.js").Options} Options */

/**
 * Open a gateway's stream, and keep it open.
 * @param {string} url as `ws://127.0.0.1:8080`; `http`, `https` and `wss` will do as well
 * @param {Options} [options]
 * @returns {Stream}
 */
export function connect(url, options) {
  const stream = new Stream(url, options);
  stream.connect();
  return stream;
}
