/** The API key, where the gateway asks for one: typed once, kept for the tab. */

import { byId, setText } from "./frames.js";

const STORED = "tickgate.key";

/** @returns {{id: string, secret: string} | null} */
export function storedKey() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  } catch {
    return null; // forbidden, or written by hand
  }
}

/** Ask for a key and start the page anew with it. @param {string} problem */
export function askForKey(problem) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("key-dialog"));
  setText(byId("key-problem"), problem);
  if (dialog.open) return;
  byId("key-form").addEventListener(
    "submit",
    (event) => {
      event.preventDefault();
      const value = (/** @type {string} */ id) =>
        /** @type {HTMLInputElement} */ (byId(id)).value.trim();
      const key = { id: value("key-id"), secret: value("key-secret") };
      sessionStorage.setItem(STORED, JSON.stringify(key));
      location.reload();
    },
    { once: true },
  );
  dialog.showModal();
}
