/** Numbers and times as text. Pure: no DOM, no clock. */

const MAX_DECIMALS = 10; // beyond this a float64 price shows rounding noise
const VOLUME_DECIMALS = 4;
const VOLUME_DIGITS = 3; // of volumes too small for these decimals, or they would be 0
const MINUTE_S = 60;

const compactFormat = new Intl.NumberFormat("en-US", {
  notation: "compact",
  maximumFractionDigits: 2,
});
const plainFormats = new Map();

/** Formatter with exactly *decimals* digits, made once. @param {number} decimals */
function plainFormat(decimals) {
  let format = plainFormats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat("en-US", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
    plainFormats.set(decimals, format);
  }
  return format;
}

/**
 * How many digits after the point a price was quoted with.
 * @param {number} price
 * @returns {number} 0 to 10
 */
export function decimalsOf(price) {
  const text = String(price);
  const [mantissa, exponent] = text.split("e-");
  const point = mantissa.indexOf(".");
  const digits = point < 0 ? 0 : mantissa.length - point - 1;
  return Math.min(MAX_DECIMALS, digits + (exponent ? Number(exponent) : 0));
}

/** @param {number | null | undefined} price @param {number} decimals */
export function formatPrice(price, decimals) {
  return Number.isFinite(price) ? plainFormat(decimals).format(price) : "–";
}

/** Signed percentage, "+1.24%". @param {number | null} fraction 0.01 is one per cent */
export function formatChange(fraction) {
  if (fraction === null || !Number.isFinite(fraction)) return "–";
  const percent = plainFormat(2).format(Math.abs(fraction) * 100);
  if (percent === "0.00") return "0.00%";
  return `${fraction < 0 ? "−" : "+"}${percent}%`;
}

/** Sign of a change as it is shown: one that rounds to 0.00% has none. @param {number | null} fraction */
export function changeSign(fraction) {
  return Math.sign(Math.round((fraction ?? 0) * 10_000)) || 0;
}

/** @param {number} volume below 10,000 */
function volumeDecimals(volume) {
  if (volume >= 100) return 2;
  const leading = volume > 0 ? Math.ceil(-Math.log10(volume)) : 0; // zeros, and the digit behind them
  return Math.min(MAX_DECIMALS, Math.max(VOLUME_DECIMALS, leading + VOLUME_DIGITS - 1));
}

/** Volume: short above 10,000, else with what it takes. @param {number | null | undefined} volume */
export function formatVolume(volume) {
  if (!Number.isFinite(volume)) return "–";
  if (volume >= 10_000) return compactFormat.format(volume);
  return plainFormat(volumeDecimals(volume)).format(volume).replace(/\.?0+$/, "");
}

/** @param {number | null} milliseconds */
export function formatLatency(milliseconds) {
  if (milliseconds === null || !Number.isFinite(milliseconds)) return "–";
  if (milliseconds < 10_000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  return `${Math.round(milliseconds / 1000)} s`;
}

/** Whole seconds as m:ss or h:mm:ss. @param {number} seconds */
export function formatCountdown(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / MINUTE_S);
  if (minutes < 60) return `${minutes}:${two(whole % MINUTE_S)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % MINUTE_S)}`;
}

/** Time of the day in UTC, to the millisecond. @param {number} milliseconds UNIX time */
export function formatClock(milliseconds) {
  if (!Number.isFinite(milliseconds)) return "–";
  return new Date(milliseconds).toISOString().slice(11, 23);
}

/** Length of time in one unit, "45 s", "3 min", "2 h". @param {number} seconds */
export function formatAge(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86_400)} d`;
}

const dateTimeFormat = new Intl.DateTimeFormat("en-GB", {
  timeZone: "UTC",
  weekday: "short",
  day: "2-digit",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

/** @param {number} seconds UNIX time */
export function formatUtc(seconds) {
  return `${dateTimeFormat.format(seconds * 1000).replaceAll(",", "")} UTC`;
}

/** "COINBASE:BTC-USD" as its two parts. @param {string} symbol */
export function splitSymbol(symbol) {
  const colon = symbol.indexOf(":");
  return colon < 0
    ? { venue: "", ticker: symbol }
    : { venue: symbol.slice(0, colon), ticker: symbol.slice(colon + 1) };
}

/** Spellings that name the same symbol fold to one text. @param {string} text */
export function foldSymbol(text) {
  return text.trim().toUpperCase().replaceAll("/", "-");
}
