/** What may go wrong, as errors that tell each other apart. */

/** Whatever the client cannot do, and says so. */
export class ClientError extends Error {}

/** What a request named and the gateway refused. @typedef {{symbols?: string[], channels?: string[]}} Names */

/**
 * What the gateway does not accept: its code (of HTTP: the status) and its words. `symbols` and
 * `channels` are all that a subscription was refused for; the words tell the first.
 */
export class Refused extends ClientError {
  /** @param {number} code @param {string} message @param {Names} [names] */
  constructor(code, message, { symbols = [], channels = [] } = {}) {
    super(message);
    this.name = "Refused";
    this.code = code;
    this.symbols = symbols;
    this.channels = channels;
  }
}

/** The key or the token is not accepted, or missing: not tried again. */
export class AuthFailed extends Refused {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(code, message);
    this.name = "AuthFailed";
  }
}

/** No answer from that address. */
export class Unreachable extends ClientError {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "Unreachable";
  }
}

/** The stream was closed. */
export class StreamClosed extends ClientError {
  constructor() {
    super("the stream is closed");
    this.name = "StreamClosed";
  }
}
