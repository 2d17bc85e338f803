/** Work once per animation frame, however often it is asked for. */

/** @typedef {(nowMs: number) => void} Work */

class Frame {
  /** In the order they were asked for. @type {Set<Work>} */
  #asked = new Set();
  #isComing = false;

  /** @param {Work} work */
  ask(work) {
    this.#asked.add(work);
    if (!this.#isComing) this.#come();
  }

  #come() {
    this.#isComing = true;
    requestAnimationFrame((nowMs) => this.#draw(nowMs));
  }

  /** What works ask for meanwhile is drawn, too: each frame costs a painting. @param {number} nowMs */
  #draw(nowMs) {
    const drawn = new Set();
    try {
      for (const work of this.#asked) {
        if (drawn.has(work)) continue; // once per frame
        this.#asked.delete(work);
        drawn.add(work);
        work(nowMs);
      }
    } finally {
      this.#isComing = false;
      if (this.#asked.size) this.#come();
    }
  }
}

const frame = new Frame();

/** @param {Work} work @returns {() => void} asks for the work in this frame, or the next */
export function perFrame(work) {
  return () => frame.ask(work);
}

/** The element with an id; a page without it is broken. @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element with id ${id}`);
  return element;
}

/** Write text only where it changed. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
