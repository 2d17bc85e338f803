/** The chart: candles above, volume below, drawn by Lightweight Charts. */

import { formatPrice, formatUtc, formatVolume } from "./format.js";
import { colour } from "./theme.js";

/** @typedef {import("./bars.js").Bar} Bar */

const HISTORY_MARGIN = 120; // bars left of the screen at which older ones are asked for
const PATCH_LIMIT = 40; // more changed bars than this are cheaper to set anew
const HEADROOM = { least: 0.1, most: 0.5, step: 0.05 }; // of the candles' height, for the legend
const LEGEND_GAP_PX = 10; // to the price axis
const MAX_MARKS = 500; // newest bars with trades missing that are marked, lest marks cover all
const ZOOM = 1.25; // of a key press
const VOLUME_SHARE = 0.2; // of the chart's height
const FONT =
  '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';

/** @param {Bar} bar */
function candleOf(bar) {
  return { time: bar.time, open: bar.open, high: bar.high, low: bar.low, close: bar.close };
}

export class PriceChart {
  /** @type {any} */
  #chart;
  /** @type {any} */
  #candles;
  /** @type {any} */
  #volume;
  #decimals = 2;
  #tone = "";
  #up = "";
  #down = "";
  /** Last bar handed to the library: anything older is a historical update. */
  #lastTime = -Infinity;
  /** Marks above the bars of which trades are missing. @type {any} */
  #marks;
  /** Starts of these bars. */
  #marked = "";
  #headroom = 0;
  /** What the room was made for: another width, or other bars, may need less. */
  #fitted = 0;
  #container;
  #legend;

  /**
   * @param {HTMLElement} container
   * @param {HTMLElement} legend the words that lie over the top of the chart
   * @param {{onNeedHistory: () => void, onCrosshair: (time: number | null) => void,
   *   onFollow: (atEnd: boolean) => void}} events
   */
  constructor(container, legend, events) {
    const library = /** @type {any} */ (window).LightweightCharts;
    this.#container = container;
    this.#legend = legend;
    this.#chart = library.createChart(container, {
      autoSize: true,
      layout: { fontFamily: FONT, fontSize: 11, attributionLogo: false },
      rightPriceScale: {
        borderVisible: false, entireTextOnly: true,
        scaleMargins: { top: 0.1, bottom: 0.06 },
      },
      timeScale: {
        borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 6,
        barSpacing: 8, minBarSpacing: 0.6,
      },
      crosshair: { mode: library.CrosshairMode.Normal },
      localization: { locale: "en-GB", timeFormatter: formatUtc },
    });
    this.#candles = this.#chart.addSeries(library.CandlestickSeries, {
      priceLineStyle: library.LineStyle.Dotted,
      priceFormat: this.#priceFormat(),
    });
    this.#volume = this.#chart.addSeries(
      library.HistogramSeries,
      {
        priceFormat: { type: "custom", minMove: 1e-8, formatter: formatVolume },
        priceLineVisible: false, lastValueVisible: false,
      },
      1,
    );
    this.#marks = library.createSeriesMarkers(this.#candles, []);
    const [pricePane, volumePane] = this.#chart.panes();
    pricePane.setStretchFactor(1 - VOLUME_SHARE);
    volumePane.setStretchFactor(VOLUME_SHARE);
    this.#volume.priceScale().applyOptions({
      entireTextOnly: true, scaleMargins: { top: 0.12, bottom: 0 },
    });
    this.applyTheme([]);
    this.#listen(events);
    this.fit();
  }

  /** Free what the library holds; the chart is gone. */
  dispose() {
    this.#chart.remove();
  }

  /** Keep the legend off the price axis, and the candles off the legend. */
  fit() {
    const { clientWidth } = this.#container;
    const height = this.#chart.panes()[0].getHeight();
    const axis = this.#candles.priceScale().width();
    if (axis) this.#legend.style.right = `${axis + LEGEND_GAP_PX}px`;
    const used = height ? (this.#legend.offsetTop + this.#legend.offsetHeight) / height : 0;
    const { least, most, step } = HEADROOM;
    const wanted = Math.min(most, Math.max(least, Math.ceil(used / step) * step));
    // It does not shrink with each number that is a digit shorter: the candles would jump.
    const top = clientWidth === this.#fitted ? Math.max(wanted, this.#headroom) : wanted;
    this.#fitted = clientWidth;
    if (top === this.#headroom) return;
    this.#headroom = top;
    this.#candles.priceScale().applyOptions({ scaleMargins: { top, bottom: 0.06 } });
  }

  /** @param {ConstructorParameters<typeof PriceChart>[2]} events */
  #listen(events) {
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((/** @type {any} */ range) => {
      if (!range) return;
      if (range.from < HISTORY_MARGIN) events.onNeedHistory();
      events.onFollow(this.#chart.timeScale().scrollPosition() > -1);
    });
    this.#chart.subscribeCrosshairMove((/** @type {any} */ at) => {
      events.onCrosshair(at.point && at.time !== undefined ? Number(at.time) : null);
    });
  }

  /** Take the colours of the current theme. @param {readonly Bar[]} bars drawn again in them */
  applyTheme(bars) {
    this.#up = colour("--up");
    this.#down = colour("--down");
    const grid = { color: colour("--chart-grid") };
    const crosshair = { color: colour("--chart-cross"), labelBackgroundColor: colour("--chart-label") };
    this.#chart.applyOptions({
      layout: {
        background: { color: colour("--surface") },
        textColor: colour("--text-2"),
        panes: { separatorColor: colour("--line"), separatorHoverColor: colour("--chart-grid") },
      },
      grid: { vertLines: grid, horzLines: grid },
      crosshair: { vertLine: crosshair, horzLine: crosshair },
    });
    this.#candles.applyOptions({
      upColor: this.#up, downColor: this.#down, wickUpColor: this.#up, wickDownColor: this.#down,
      borderVisible: false,
    });
    this.#tone = "";
    this.#marked = "";
    if (bars.length) this.set(bars);
  }

  /** Draw these bars and nothing else; the view stays where it is. @param {readonly Bar[]} bars */
  set(bars) {
    this.#candles.setData(bars.map(candleOf));
    this.#volume.setData(bars.map((bar) => this.#columnOf(bar)));
    this.#lastTime = bars.at(-1)?.time ?? -Infinity;
    this.#paintPriceLine(bars.at(-1));
    this.#markGaps(bars);
  }

  /**
   * Draw changed bars: a few one by one, many all anew.
   * @param {Bar[]} changed oldest first, each known to the chart or newer than all it knows
   * @param {readonly Bar[]} all
   */
  patch(changed, all) {
    if (changed.length > PATCH_LIMIT) {
      this.set(all);
      return;
    }
    for (const bar of changed) {
      const historical = bar.time < this.#lastTime;
      this.#candles.update(candleOf(bar), historical);
      this.#volume.update(this.#columnOf(bar), historical);
      this.#lastTime = Math.max(this.#lastTime, bar.time);
    }
    this.#paintPriceLine(all.at(-1));
    if (changed.some((bar) => bar.gap) || this.#marked) this.#markGaps(all);
  }

  /** Mark the bars of which trades are missing. @param {readonly Bar[]} bars */
  #markGaps(bars) {
    const times = bars.filter((bar) => bar.gap).slice(-MAX_MARKS).map((bar) => bar.time);
    const marked = times.join();
    if (marked === this.#marked) return;
    this.#marked = marked;
    const color = colour("--warn");
    this.#marks.setMarkers(
      times.map((time) => ({ time, position: "aboveBar", shape: "arrowDown", size: 0.7, color })),
    );
  }

  /** The label of the last price: darker than the candles, so that its text can be read. @param {Bar | undefined} last */
  #paintPriceLine(last) {
    if (!last) return;
    const tone = last.close >= last.open ? "--up-strong" : "--down-strong";
    if (tone === this.#tone) return;
    this.#tone = tone;
    this.#candles.applyOptions({ priceLineColor: colour(tone) });
  }

  /** Show the newest bars at the usual zoom. */
  resetView() {
    this.#fitted = 0;
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /** Scroll to the newest bar. @param {boolean} smooth */
  follow(smooth) {
    this.#chart.timeScale().scrollToPosition(6, smooth);
  }

  /** Number of digits of the price axis. @param {number} decimals */
  setDecimals(decimals) {
    if (decimals === this.#decimals) return;
    this.#decimals = decimals;
    this.#candles.applyOptions({ priceFormat: this.#priceFormat() });
  }

  /** What the library draws, read back from it. */
  read() {
    return {
      candles: this.#candles.data(), volume: this.#volume.data(), marks: this.#marks.markers(),
    };
  }

  /** Whether older bars would be on the screen soon. */
  wantsHistory() {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    return range !== null && range.from < HISTORY_MARGIN;
  }

  /** Move the visible range, as a drag does. @param {number} bars negative goes back in time */
  scrollBy(bars) {
    const scale = this.#chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /** Show as many bars as fit when each is wider or narrower. @param {1 | -1} direction */
  zoom(direction) {
    const scale = this.#chart.timeScale();
    const barSpacing = scale.options().barSpacing * ZOOM ** direction;
    scale.applyOptions({ barSpacing: Math.min(60, Math.max(0.6, barSpacing)) });
  }

  /** Scroll to the oldest bar that is here. */
  toOldest() {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    if (range) this.scrollBy(-Math.max(0, range.from));
  }

  #priceFormat() {
    const decimals = this.#decimals;
    return {
      type: "custom",
      minMove: 10 ** -decimals,
      formatter: (/** @type {number} */ price) => formatPrice(price, decimals),
    };
  }

  /** @param {Bar} bar */
  #columnOf(bar) {
    const tone = bar.close >= bar.open ? this.#up : this.#down;
    return { time: bar.time, value: bar.volume, color: `${tone}66` };
  }
}
