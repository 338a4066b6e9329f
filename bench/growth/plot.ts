/** Two plots side by side: measured times as points, what was fitted to them as a curve. */
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import type { Scene, SceneNode, TextRole } from "../../src/explain/scene.js";
import type { Fit, Point } from "./least-squares.js";

export interface Panel {
  readonly title: string;
  readonly xName: string;
  readonly points: readonly Point[];
  readonly fitted: Fit;
  /** What the curve is, in words. */
  readonly formula: string;
}

const MARGIN = 24;
const TICKS_WIDTH = 46;
const WIDTH = 350;
const HEIGHT = 220;
const TOP = 110;
const GAP = 40;
const POINT_RADIUS = 2.2;

/** @param panels each with points at positive places */
export function growthPlot(title: string, subtitle: string, panels: readonly Panel[]): Scene {
  const step = TICKS_WIDTH + WIDTH + GAP;
  return {
    width: 2 * MARGIN + panels.length * step - GAP,
    height: TOP + HEIGHT + 58,
    title,
    description: `${subtitle}. ${panels.map((panel) => `${panel.title}: ${panel.formula}`).join(". ")}.`,
    nodes: [
      text(title, MARGIN, 26, "title"),
      text(subtitle, MARGIN, 46, "note"),
      ...panels.flatMap((panel, i) => panelNodes(panel, MARGIN + TICKS_WIDTH + i * step)),
    ],
  };
}

function panelNodes({ title, xName, points, fitted, formula }: Panel, left: number): SceneNode[] {
  const bottom = TOP + HEIGHT;
  const x = scaleLinear([0, Math.max(...points.map((point) => point.x))], [left, left + WIDTH]).nice(4);
  const y = scaleLinear([0, Math.max(...points.map((point) => point.y))], [bottom, TOP]).nice(5);
  const nodes: SceneNode[] = [
    text(title, left, TOP - 32, "operation"),
    text(formula, left, TOP - 15, "note"),
  ];
  for (const tick of y.ticks(5)) {
    nodes.push({ type: "path", d: `M${left},${y(tick)}h${WIDTH}`, role: "grid" });
    nodes.push(text(y.tickFormat(5)(tick), left - 8, y(tick) + 4, "tick", "end"));
  }
  for (const tick of x.ticks(4)) {
    nodes.push({ type: "path", d: `M${x(tick)},${bottom}v4`, role: "axis" });
    nodes.push(text(x.tickFormat(4)(tick), x(tick), bottom + 17, "tick", "middle"));
  }
  nodes.push({ type: "path", d: `M${left},${bottom}h${WIDTH}`, role: "axis" });
  nodes.push(text(xName, left + WIDTH / 2, bottom + 36, "note", "middle"));
  const curve = line<number>(
    (place) => x(place),
    (place) => y(fitted.at(place)),
  );
  const [from, to] = [points[0].x, points[points.length - 1].x];
  const places = Array.from({ length: 65 }, (_, i) => from + ((to - from) * i) / 64);
  nodes.push({ type: "path", d: curve(places) ?? "", role: "formula" });
  for (const point of points)
    nodes.push({ type: "path", d: dot(x(point.x), y(point.y)), role: "curveCached" });
  return nodes;
}

/** A ring, as SVG path data. */
function dot(x: number, y: number): string {
  const arc = (dx: number) => `a${POINT_RADIUS},${POINT_RADIUS} 0 1 0 ${dx},0`;
  return `M${x - POINT_RADIUS},${y}${arc(2 * POINT_RADIUS)}${arc(-2 * POINT_RADIUS)}`;
}

function text(
  content: string,
  x: number,
  y: number,
  role: TextRole,
  anchor: "start" | "middle" | "end" = "start",
): SceneNode {
  return { type: "text", x, y, text: content, role, anchor };
}
