/**
 * The plot of a comparison: rows and milliseconds of every inference, with the KV cache and by recomputing everything, as
 * measured; rows over what the formula says.
 */
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import type { ComparedStep } from "../../client/comparison.js";
import type { Scene, SceneNode, SceneRole } from "../scene.js";
import { label } from "./tensor-box.js";

/** What is plotted: the part of a comparison's report that is measured at each inference. */
export interface MeasuredComparison {
  /** L */
  readonly promptTokens: number;
  /** Steps with the KV cache, from the first. */
  readonly cached: readonly ComparedStep[];
  /** Steps that recomputed everything. */
  readonly recompute: readonly ComparedStep[];
  /** What was compared, in a line below the title; nothing when empty. */
  readonly subtitle: string;
}

const MARGIN = 24;
const PANEL_WIDTH = 330;
const PANEL_HEIGHT = 210;
/** Room for the numbers at the left of a panel, and for the names at its right. */
const TICKS_WIDTH = 46;
const NAMES_WIDTH = 78;
const TOP = 98;
const TICKS = 5;

/** Draws a comparison of at least one step. */
export function comparisonPlot({ promptTokens, cached, recompute, subtitle }: MeasuredComparison): Scene {
  const panel = TICKS_WIDTH + PANEL_WIDTH + NAMES_WIDTH;
  const nodes = [
    label("With the KV cache, and recomputing everything", MARGIN, 24, "title", "start"),
    label(subtitle, MARGIN, 43, "note", "start"),
    ...panelNodes({
      x: MARGIN + TICKS_WIDTH,
      title: "rows through the model, per inference",
      curves: [
        { role: "curveRecompute", name: "recompute", values: recompute.map(({ rows }) => rows) },
        { role: "curveCached", name: "cached", values: cached.map(({ rows }) => rows) },
        // Dotted on top of what was measured, so that both are seen where they agree.
        { role: "formula", values: recompute.map((_, step) => promptTokens + step) },
        { role: "formula", values: cached.map((_, step) => (step === 0 ? promptTokens : 1)) },
      ],
    }),
    ...panelNodes({
      x: MARGIN + panel + TICKS_WIDTH,
      title: "milliseconds, per inference",
      curves: [
        { role: "curveRecompute", name: "recompute", values: recompute.map(({ ms }) => ms) },
        { role: "curveCached", name: "cached", values: cached.map(({ ms }) => ms) },
      ],
    }),
  ];
  const legendTop = TOP + PANEL_HEIGHT + 56;
  nodes.push(
    { type: "path", d: `M${MARGIN + TICKS_WIDTH},${legendTop - 4}h30`, role: "formula" },
    label(
      "by formula: L + step recomputed; L, then 1 cached",
      MARGIN + TICKS_WIDTH + 40,
      legendTop,
      "note",
      "start",
    ),
  );
  return {
    width: 2 * MARGIN + 2 * panel,
    height: legendTop + 22,
    title: "With the KV cache, and recomputing everything",
    description: `Rows and milliseconds of each of ${recompute.length} inferences, both ways.`,
    nodes,
  };
}

interface Curve {
  readonly role: SceneRole;
  readonly name?: string;
  readonly values: readonly number[];
}

function panelNodes({
  x: left,
  title,
  curves,
}: {
  readonly x: number;
  readonly title: string;
  readonly curves: readonly Curve[];
}): SceneNode[] {
  const steps = largestOf(curves.map(({ values }) => values.length));
  const largest = largestOf(curves.flatMap(({ values }) => values));
  const bottom = TOP + PANEL_HEIGHT;
  // One step has no way to go: it stands at the left.
  const x = scaleLinear([1, Math.max(2, steps)], [left, left + PANEL_WIDTH]);
  const y = scaleLinear([0, largest === 0 ? 1 : largest], [bottom, TOP]).nice(TICKS);
  const nodes: SceneNode[] = [label(title, left, TOP - 18, "operation", "start")];
  for (const tick of y.ticks(TICKS)) {
    nodes.push({ type: "path", d: `M${left},${y(tick)}h${PANEL_WIDTH}`, role: "grid" });
    nodes.push(label(y.tickFormat(TICKS)(tick), left - 8, y(tick) + 3.5, "tick", "end"));
  }
  const whole = x.ticks(TICKS + 1).filter(Number.isInteger);
  for (const tick of whole) {
    nodes.push({ type: "path", d: `M${x(tick)},${bottom}v4`, role: "axis" });
    nodes.push(label(String(tick), x(tick), bottom + 17, "tick"));
  }
  nodes.push({ type: "path", d: `M${left},${bottom}h${PANEL_WIDTH}`, role: "axis" });
  nodes.push(label("inference", left + PANEL_WIDTH / 2, bottom + 33, "note"));
  const draw = line<number>(
    (_, step) => x(step + 1),
    (value) => y(value),
  );
  const named = curves.filter(({ name }) => name !== undefined);
  const ends = namePlaces(named.map(({ values }) => y(values[values.length - 1] ?? 0)));
  for (const { role, values } of curves) nodes.push({ type: "path", d: draw([...values]) ?? "", role });
  named.forEach(({ name = "", values }, i) => {
    nodes.push(label(name, x(Math.max(1, values.length)) + 8, ends[i] + 4, "note", "start"));
  });
  return nodes;
}

const NAME_HEIGHT = 14;

/** Names at the ends of two curves, the upper one first, moved apart where they would touch. */
function namePlaces(ends: readonly number[]): number[] {
  const order = ends.map((_, i) => i).sort((a, b) => ends[a] - ends[b]);
  const places = [...ends];
  order.forEach((curve, i) => {
    if (i > 0) places[curve] = Math.max(places[curve], places[order[i - 1]] + NAME_HEIGHT);
  });
  return places;
}

/** The largest of some numbers that are not negative; 0 of none. */
function largestOf(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
