/** What the marks of a figure mean, beside it. */
import type { SceneNode, SceneRole } from "../scene.js";
import { label, ROW } from "./tensor-box.js";

const LINE = 21;
const SAMPLE_WIDTH = 26;
/** As much as its longest meaning takes. */
export const LEGEND_WIDTH = 250;

/** One sample and its meaning below the other. */
export function legend(
  x: number,
  y: number,
  entries: readonly (readonly [role: SceneRole, meaning: string])[],
): SceneNode[] {
  return entries.flatMap(([role, meaning], i): SceneNode[] => [
    { type: "rect", x, y: y + i * LINE, width: SAMPLE_WIDTH, height: ROW, role },
    label(meaning, x + SAMPLE_WIDTH + 10, y + i * LINE + 10.5, "note", "start"),
  ]);
}

/** What is left out of a pass with the cache: rows of K and V that the layer's window has left behind, too. */
export function absentWords(firstSeen: number): string {
  return firstSeen === 0 ? "not computed" : "not computed, or out of the window";
}
