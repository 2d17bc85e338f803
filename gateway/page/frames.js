/** Work once per animation frame, however often it is asked for. */

/**
 * @param {(nowMs: number) => void} work
 * @returns {() => void} asks for the work in the next frame
 */
export function perFrame(work) {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame((nowMs) => {
      pending = false;
      work(nowMs);
    });
  };
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
