/** Dark or light: the system's wish, until the user says otherwise. */

const KEY = "tickgate.theme";

export class Theme {
  #media = matchMedia("(prefers-color-scheme: dark)");
  #listeners = new Set();

  constructor() {
    this.#media.addEventListener("change", () => this.#apply());
    this.#apply();
  }

  /** @returns {"dark" | "light"} */
  get name() {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "dark" || chosen === "light") return chosen;
    return this.#media.matches ? "dark" : "light";
  }

  toggle() {
    localStorage.setItem(KEY, this.name === "dark" ? "light" : "dark");
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
