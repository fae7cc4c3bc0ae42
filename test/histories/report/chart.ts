/** Inline SVG: charts one under the other, whose time axes are the same. Series differ in colour and in dashes. */
import type { Fault } from "./input.ts";
import { element, text, type Markup } from "./markup.ts";
import { timeScale, type Scale } from "./scale.ts";
import { clock } from "./words.ts";

const WIDTH = 1_100;
const LEFT = 150;
const RIGHT = 20;
const TOP = 34;
const AXIS = 42;
const LINES_HEIGHT = 170;
const LANE_HEIGHT = 20;
const MAX_LABEL = 22;

export interface Timeline {
  readonly endMs: number;
  readonly faults: readonly Fault[];
  readonly leaderChangesMs: readonly number[];
}

export interface Series {
  readonly name: string;
  /** One of `s1` … `s3` of the style sheet. */
  readonly style: string;
  /** At a time; null is a gap. */
  readonly points: readonly (readonly [atMs: number, value: number | null])[];
}

export interface Lane {
  readonly name: string;
  readonly bars: readonly {
    readonly fromMs: number;
    readonly untilMs: number;
    readonly title: string;
  }[];
}

interface Frame {
  readonly id: string;
  readonly title: string;
  /** Beside the title. */
  readonly unit: string;
}

export function lineChart(
  frame: Frame,
  timeline: Timeline,
  series: readonly Series[],
  { scale, label }: { readonly scale: Scale; readonly label: (value: number) => string },
): Markup {
  const y = (value: number): number => round(TOP + LINES_HEIGHT * (1 - scale.place(value)));
  const grid = scale.ticks.flatMap((tick) => [
    line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)),
    tag(LEFT - 8, y(tick) + 4, "end", label(tick)),
  ]);
  const x = across(timeline.endMs);
  const drawn = series.map(({ name, style, points }) => {
    const d = pathOf(points.map(([atMs, value]) => [x(atMs), value === null ? null : y(value)]));
    return element("path", { class: `line ${style}`, d, "data-series": name });
  });
  return figure(frame, timeline, LINES_HEIGHT, [grid, drawn, legend(series)]);
}

export function laneChart(frame: Frame, timeline: Timeline, lanes: readonly Lane[]): Markup {
  const x = across(timeline.endMs);
  const drawn = lanes.flatMap(({ name, bars }, index) => {
    const top = TOP + index * LANE_HEIGHT;
    const short = name.length > MAX_LABEL ? `${name.slice(0, MAX_LABEL - 1)}…` : name;
    return [
      element(
        "text",
        { x: LEFT - 8, y: top + 14, "text-anchor": "end" },
        text(short),
        element("title", {}, text(name)),
      ),
      line("grid", LEFT, top + LANE_HEIGHT, WIDTH - RIGHT, top + LANE_HEIGHT),
      ...bars.map(({ fromMs, untilMs, title }) => {
        const place = { x: x(fromMs), y: top + 3, width: extent(x(fromMs), x(untilMs)) };
        const attributes = { class: "bar", ...place, height: LANE_HEIGHT - 6 };
        return element("rect", attributes, element("title", {}, text(title)));
      }),
    ];
  });
  return figure(frame, timeline, Math.max(1, lanes.length) * LANE_HEIGHT, [drawn]);
}

function figure(
  { id, title, unit }: Frame,
  timeline: Timeline,
  height: number,
  content: readonly (readonly Markup[])[],
): Markup {
  const box = `0 0 ${WIDTH} ${TOP + height + AXIS}`;
  const names = { role: "img", "aria-labelledby": `${id}-title` };
  return element(
    "svg",
    { xmlns: "http://www.w3.org/2000/svg", id, viewBox: box, ...names },
    element("title", { id: `${id}-title` }, text(`${title}, ${unit}`)),
    element("text", { class: "heading", x: LEFT, y: 16 }, text(title)),
    element("text", { class: "unit", x: LEFT - 8, y: 16, "text-anchor": "end" }, text(unit)),
    bands(timeline, height),
    timeAxis(timeline.endMs, height),
    content.flat(),
  );
}

/** Faults as grey bands; changes of leader as dashed lines. */
function bands({ endMs, faults, leaderChangesMs }: Timeline, height: number): readonly Markup[] {
  const x = across(endMs);
  return [
    ...faults.map(({ kind, target, fromMs, untilMs }) => {
      const width = extent(x(fromMs), x(untilMs ?? endMs));
      const title = element("title", {}, text(`${kind}: ${target}`));
      return element("rect", { class: "band", x: x(fromMs), y: TOP, width, height }, title);
    }),
    ...leaderChangesMs.map((atMs) => line("change", x(atMs), TOP, x(atMs), TOP + height)),
  ];
}

function timeAxis(endMs: number, height: number): readonly Markup[] {
  const x = across(endMs);
  const bottom = TOP + height;
  return [
    line("axis", LEFT, bottom, WIDTH - RIGHT, bottom),
    ...timeScale(endMs).ticks.flatMap((tick) => [
      line("axis", x(tick), bottom, x(tick), bottom + 4),
      tag(x(tick), bottom + 17, "middle", clock(tick)),
    ]),
    tag((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "middle", "time since the run began, min:s"),
  ];
}

function legend(series: readonly Series[]): readonly Markup[] {
  return series.flatMap(({ name, style }, index) => {
    const x = WIDTH - RIGHT - (series.length - index) * 130;
    return [line(`line ${style}`, x, 12, x + 28, 12), tag(x + 34, 16, "start", name)];
  });
}

function pathOf(points: readonly (readonly [x: number, y: number | null])[]): string {
  let isDrawing = false;
  const parts: string[] = [];
  for (const [x, y] of points) {
    if (y !== null) parts.push(isDrawing ? `L${x} ${y}` : `M${x} ${y}h0`);
    isDrawing = y !== null;
  }
  return parts.join("");
}

function across(endMs: number): (atMs: number) => number {
  const scale = timeScale(endMs);
  return (atMs) => round(LEFT + (WIDTH - LEFT - RIGHT) * scale.place(atMs));
}

/** Never so narrow that nobody sees it. */
function extent(from: number, until: number): number {
  return round(Math.max(1.5, until - from));
}

function line(style: string, x1: number, y1: number, x2: number, y2: number): Markup {
  return element("line", { class: style, x1, y1, x2, y2 });
}

function tag(x: number, y: number, anchor: string, value: string): Markup {
  return element("text", { x, y, "text-anchor": anchor }, text(value));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
