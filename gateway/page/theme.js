/** Dark or light: the system's wish, until the user says otherwise. */

import { load, save } from "./storage.js";

const KEY = "tickgate.theme";

export class Theme {
  #media = matchMedia("(prefers-color-scheme: dark)");
  #listeners = new Set();
  #chosen = load(KEY);

  constructor() {
    this.#media.addEventListener("change", () => this.#apply());
    this.#apply();
  }

  /** @returns {"dark" | "light"} */
  get name() {
    if (this.#chosen === "dark" || this.#chosen === "light") return this.#chosen;
    return this.#media.matches ? "dark" : "light";
  }

  toggle() {
    this.#chosen = this.name === "dark" ? "light" : "dark";
    save(KEY, this.#chosen);
    this.#apply();
  }

  /** @param {() => void} listener called after a change */
  onChange(listener) {
    this.#listeners.add(listener);
  }

  #apply() {
    document.documentElement.dataset.theme = this.name;
    for (const listener of this.#listeners) listener();
  }
}

/** A colour of the style sheet, for what is painted on a canvas. @param {string} name */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
