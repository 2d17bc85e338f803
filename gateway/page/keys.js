/** The keyboard: single keys for what is done often, and the dialog that lists them. */

import { byId } from "./frames.js";
import { load, save } from "./storage.js";

const KEPT = "tickgate.single-keys";

/**
 * @typedef {object} Actions
 * @property {() => void} search
 * @property {() => void} list
 * @property {() => void} pause
 * @property {() => void} nextChart
 * @property {() => void} layout
 * @property {() => void} status
 * @property {() => void} theme
 * @property {(index: number) => void} timeframe
 * @property {() => void} escape
 */

/** Whether a key that is pressed there writes text, or chooses. @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("input:not([type=radio], [type=checkbox]), textarea, select");
}

export class Keys {
  #actions;
  #dialog = /** @type {HTMLDialogElement} */ (byId("keys-dialog"));
  #toggle = /** @type {HTMLInputElement} */ (byId("single-keys"));

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#toggle.checked = load(KEPT) !== false;
    this.#toggle.addEventListener("change", () => save(KEPT, this.#toggle.checked));
    byId("keys-button").addEventListener("click", () => this.#dialog.showModal());
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
    if (event.key === "Escape") {
      this.#actions.escape();
      return;
    }
    if (!this.#toggle.checked) return; // people who dictate, or whose keys slip
    const action = this.#actionOf(event.key);
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** @param {string} key @returns {(() => void) | undefined} */
  #actionOf(key) {
    const { search, list, pause, nextChart, layout, status, theme, timeframe } = this.#actions;
    if (/^[1-6]$/.test(key)) return () => timeframe(Number(key) - 1);
    /** @type {Record<string, () => void>} */
    const actions = {
      "/": search, w: list, p: pause, n: nextChart, l: layout, s: status, d: theme,
      "?": () => this.#dialog.showModal(),
    };
    return Object.hasOwn(actions, key) ? actions[key] : undefined;
  }
}
