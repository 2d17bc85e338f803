/**
 * What the page keeps in this browser. A storage that is full, forbidden or damaged costs the
 * memory of it, never the page.
 */

/** The value kept under a key, as it was parsed; null without one. @param {string} key @returns {unknown} */
export function load(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null; // forbidden, or written by hand
  }
}

/** @param {string} key @param {unknown} value */
export function save(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Full or forbidden: the choice holds until the page is left.
  }
}
