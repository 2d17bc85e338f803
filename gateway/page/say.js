/** Words for those who hear the page: one polite live region for everything that changes. */

import { byId, setText } from "./frames.js";

/** @param {string} text a sentence about what changed; never a price that moves */
export function say(text) {
  setText(byId("said"), text);
}
