/** The API key, where the gateway asks for one: typed once, kept for the tab. */

import { byId, setText } from "./frames.js";

const STORED = "tickgate.key";
const WANTED = "Whoever runs it makes one: tickgate keys add";
const FORBIDDEN = "This browser keeps nothing for this page: allow it storage (cookies), so that it can keep the key.";

/** What was typed, as the client wants it. @returns {{key?: string, secret?: string}} */
export function storedKey() {
  try {
    const { id, secret } = JSON.parse(sessionStorage.getItem(STORED) ?? "{}");
    return { key: id, secret };
  } catch {
    return {}; // forbidden, or written by hand
  }
}

/**
 * Ask for a key and start the page anew with it.
 * @param {string} problem what is wrong with the one that was given; programs are told how to give one
 * @param {boolean} [isAsked] whether a person wants to give one; who has closed the question gets it
 *   again only then
 */
export function askForKey(problem, isAsked = false) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("key-dialog"));
  setText(byId("key-problem"), storedKey().key ? problem : WANTED);
  if (dialog.open || (dialog.dataset.closed && !isAsked)) return;
  dialog.oncancel = () => {
    dialog.dataset.closed = "true";
  };
  byId("key-form").onsubmit = (event) => {
    event.preventDefault();
    const value = (/** @type {string} */ id) =>
      /** @type {HTMLInputElement} */ (byId(id)).value.trim();
    try {
      sessionStorage.setItem(STORED, JSON.stringify({ id: value("key-id"), secret: value("key-secret") }));
    } catch {
      setText(byId("key-problem"), FORBIDDEN);
      return;
    }
    location.reload();
  };
  dialog.showModal();
}
