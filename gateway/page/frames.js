/** Work once per animation frame, however often it is asked for. */

const SOON_MS = 30;

/** @typedef {(nowMs: number) => void} Work */

class Frame {
  /** In the order they were asked for. @type {Set<Work>} */
  #asked = new Set();
  #isComing = false;
  #drawnMs = -Infinity;

  /** @param {Work} work */
  ask(work) {
    this.#asked.add(work);
    if (!this.#isComing) this.#come();
  }

  /**
   * The chart library draws in the frame after it was told something: told between two frames, both
   * are one, and a candle is there a frame sooner. Not soon again, nor where nobody looks.
   */
  #come() {
    this.#isComing = true;
    const isSoon = performance.now() - this.#drawnMs < SOON_MS;
    if (isSoon || document.hidden) requestAnimationFrame((nowMs) => this.#draw(nowMs));
    else setTimeout(() => this.#draw(performance.now()));
  }

  /** What works ask for meanwhile is drawn, too: each frame costs a painting. @param {number} nowMs */
  #draw(nowMs) {
    this.#drawnMs = nowMs;
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
