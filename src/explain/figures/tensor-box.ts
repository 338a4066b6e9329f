/**
 * A tensor as a box of rows: which rows are drawn one by one and which are left out, and the shapes for them. Owns the
 * sizes that all figures share.
 */
import type { SceneGroup, SceneNode, SceneRole, SceneText } from "../scene.js";
import type { TracedTensor } from "../trace.js";

/** Height of a row; for K transposed, the width of a column. */
export const ROW = 13;
/** Where rows are left out. */
const GAP = 15;
/** Rows of a sequence that are drawn one by one at most; of a longer one the first and the last. */
const MAX_ROWS = 9;
const FIRST_ROWS = 4;
const LAST_ROWS = 3;

/** A stretch of positions: one that is drawn as a row, or a run of them that is not drawn. */
export interface RowSlot {
  readonly from: number;
  readonly to: number;
  readonly isElided: boolean;
  /** From the first row's start. */
  readonly offset: number;
  readonly size: number;
}

/** The places of all positions of a sequence: the same for all tensors of a figure, so that rows line up. */
export interface RowAxis {
  readonly slots: readonly RowSlot[];
  readonly size: number;
}

/**
 * @param length positions, at least one
 * @param cut a position before which rows mean something else than from it on: a stretch that is not drawn ends there
 */
export function rowAxis(length: number, cut = 0): RowAxis {
  const isLong = length > MAX_ROWS;
  const slots: RowSlot[] = [];
  let offset = 0;
  const add = (from: number, to: number, size: number) => {
    slots.push({ from, to, isElided: to - from > 1, offset, size });
    offset += size;
  };
  const single = (from: number, to: number) => {
    for (let row = from; row < to; row++) add(row, row + 1, ROW);
  };
  single(0, isLong ? FIRST_ROWS : length);
  if (isLong) {
    const end = length - LAST_ROWS;
    const isCut = cut > FIRST_ROWS && cut < end;
    if (isCut) add(FIRST_ROWS, cut, GAP);
    add(isCut ? cut : FIRST_ROWS, end, GAP);
    single(length - LAST_ROWS, length);
  }
  return { slots, size: offset };
}

export interface TensorBox {
  readonly tensor: TracedTensor;
  readonly x: number;
  /** Where position 0 would be. */
  readonly y: number;
  /** Across the rows. */
  readonly width: number;
  readonly axis: RowAxis;
  /** What a row is; `row` for one that is there and means nothing. */
  readonly roleOf: (row: number) => SceneRole;
  /** `down`: rows below each other; `across`: side by side, as in K transposed. */
  readonly direction?: "down" | "across";
  /** Show where rows of the sequence would be that are not computed. */
  readonly showsAbsent?: boolean;
  readonly title: string;
}

/** The rows of a tensor; positions that it has no rows for stay empty. */
export function tensorBox(box: TensorBox): SceneGroup {
  const { tensor, axis, roleOf, direction = "down" } = box;
  const first = tensor.firstPosition ?? 0;
  const isThere = ({ from, to }: RowSlot) => to > first && from < first + tensor.rows;
  const place = (offset: number, size: number) =>
    direction === "down"
      ? { x: box.x, y: box.y + offset, width: box.width, height: size }
      : { x: box.x + offset, y: box.y, width: size, height: box.width };
  const children: SceneNode[] = [];
  const absent = axis.slots.filter((slot) => !isThere(slot));
  if (box.showsAbsent === true && absent.length > 0) {
    const size = absent.reduce((sum, slot) => sum + slot.size, 0);
    children.push({ type: "rect", ...place(absent[0].offset, size), role: "absent", radius: 1.5 });
  }
  // Elided stretches first: the frames of rows lie over them.
  const there = axis.slots.filter(isThere).sort((a, b) => Number(b.isElided) - Number(a.isElided));
  for (const slot of there) {
    const from = Math.max(0, slot.from - first);
    const rows = { tensor: tensor.id, name: tensor.name, from, to: slot.to - first };
    const role = roleOf(slot.to - 1 - first);
    children.push({ type: "rect", ...place(slot.offset, slot.size), role, rows });
    if (slot.isElided) children.push(ellipsis(place(slot.offset, slot.size), direction, role));
  }
  return { type: "group", id: tensor.name, title: box.title, children };
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Three dots, along the direction that goes on. @param ground what they are drawn on */
export function ellipsis(
  { x, y, width, height }: Place,
  direction: "down" | "across",
  ground: SceneRole,
): SceneNode {
  const [cx, cy] = [x + width / 2, y + height / 2];
  const dots = [-4, 0, 4]
    .map((d) => (direction === "down" ? [cx, cy + d] : [cx + d, cy]))
    .map(([px, py]) => `M${px - 1.1},${py}a1.1,1.1 0 1,0 2.2,0a1.1,1.1 0 1,0 -2.2,0`);
  return { type: "path", d: dots.join(""), role: ground === "lastRow" ? "ellipsisOnLastRow" : "ellipsis" };
}

/** `(36, 192)` */
export function shapeLabel(...sizes: readonly number[]): string {
  return `(${sizes.map((size) => size.toLocaleString("en-US").replaceAll(",", "\u2009")).join(", ")})`;
}

export function label(
  text: string,
  x: number,
  y: number,
  role: SceneText["role"],
  anchor: SceneText["anchor"] = "middle",
): SceneText {
  return { type: "text", x, y, text, role, anchor };
}
