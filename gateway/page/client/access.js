/** Where a gateway is, and who asks it. */

/**
 * @typedef {string | (() => string | Promise<string>)} Token a token, or what gets a new one: it is
 *   called before each connection, and before a token that says when it expires does
 */

/**
 * @typedef {object} Access
 * @property {string} [key] the API key's id
 * @property {string} [secret] its secret
 * @property {Token} [token] instead of a key
 * @property {() => {key?: string, secret?: string, token?: string}} [credentials] instead of both:
 *   asked before each connection and each request
 */

/**
 * The gateway's address for one of the protocols; `ws`, `wss`, `http` and `https` will do.
 * @param {string} url
 * @param {"ws" | "http"} protocol
 */
export function addressOf(url, protocol) {
  const parsed = new URL(url);
  if (!/^(ws|http)s?:$/.test(parsed.protocol)) {
    throw new TypeError(`${url} is no address of a gateway; expected as ws://127.0.0.1:8080`);
  }
  const secure = parsed.protocol === "wss:" || parsed.protocol === "https:";
  const path = parsed.pathname.replace(/\/$/, "").replace(/\/v1\/stream$/, "");
  return `${protocol}${secure ? "s" : ""}://${parsed.host}${path}`;
}

/**
 * What shows who asks; nothing of it where nobody has to.
 * @param {Access} access
 * @returns {Promise<{key?: string, secret?: string, token?: string}>}
 */
export async function credentialsOf(access) {
  const { key, secret, token } = access.credentials?.() ?? access;
  return { key, secret, token: typeof token === "function" ? await token() : token };
}

/**
 * Do cookies, and what the browser itself knows of its user, go along? Over plain HTTP a gateway is
 * not told that a script asks: it would have the browser show a dialog of its own.
 * @returns {RequestCredentials}
 */
export function ambient() {
  return globalThis.isSecureContext === false ? "omit" : "same-origin";
}
