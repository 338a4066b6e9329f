/**
 * A figure as data: shapes at places, each with what it means, not how it looks. Layouts (`figures/`) make scenes from
 * traces; `renderSvg` and the web page draw them. A shape that stands for rows of a tensor says which, so that a page can
 * find what they were made from in the trace.
 *
 * Lengths are in units of a CSS pixel at the figure's own size; y grows downwards.
 */

/** Rows `from … to − 1` of the trace's tensor `tensor`; one row, or a run of rows that is drawn as one. */
export interface RowReference {
  /** `TracedTensor.id` */
  readonly tensor: number;
  /** `TracedTensor.name` */
  readonly name: string;
  /** The first row. */
  readonly from: number;
  /** The row after the last. */
  readonly to: number;
}

/** What a shape is, which decides how it looks. */
export type SceneRole =
  /** A row that is computed and that the last row does not ask for. */
  | "row"
  /** The last row, and what is its own at every stage. */
  | "lastRow"
  /** Rows that the last row is made from, beside its own. */
  | "needed"
  /** The same, read from the cache. */
  | "cached"
  /** What is left out: no row is computed here. */
  | "absent"
  /** A score that no query sees. */
  | "masked"
  /** Rows or columns that are not drawn one by one. */
  | "ellipsis"
  /** The same on the last row. */
  | "ellipsisOnLastRow"
  /** A frame around what belongs together. */
  | "frame"
  /** The way of the data. */
  | "flow"
  /** Brackets and leaders of notes. */
  | "leader"
  /** Curves of a plot, its axes, and the lines behind it. */
  | "curveCached"
  | "curveRecompute"
  | "formula"
  | "axis"
  | "grid";

/** `tick` is a token's text or a number at an axis; `tickOnLastRow` the one on the last row's colour. */
export type TextRole = "title" | "name" | "shape" | "operation" | "note" | "tick" | "tickOnLastRow";

/** A rectangle: mostly a row, or a run of rows. */
export interface SceneRect {
  readonly type: "rect";
  /** Left edge, in the scene's units. */
  readonly x: number;
  /** Top edge; y grows downwards. */
  readonly y: number;
  /** Above 0. */
  readonly width: number;
  /** Above 0. */
  readonly height: number;
  readonly role: SceneRole;
  /** Corner radius, default 0. */
  readonly radius?: number;
  /** The rows that it stands for, if any. */
  readonly rows?: RowReference;
}

/** A line or a curve. */
export interface ScenePath {
  readonly type: "path";
  /** SVG path data. */
  readonly d: string;
  readonly role: SceneRole;
  /** With an arrow head at its end. */
  readonly isArrow?: boolean;
}

/** A text on one line. */
export interface SceneText {
  readonly type: "text";
  /** Of the point that `anchor` is about. */
  readonly x: number;
  /** The baseline. */
  readonly y: number;
  readonly text: string;
  readonly role: TextRole;
  /** Which point of the text lies at `x`. */
  readonly anchor: "start" | "middle" | "end";
}

/** Shapes that are one thing: a tensor, an operation. */
export interface SceneGroup {
  readonly type: "group";
  /** Unique in its scene: a tensor's name. */
  readonly id: string;
  /** What it is, in words: a viewer shows it as a title, a screen reader reads it. */
  readonly title: string;
  /** In the order in which they are drawn. */
  readonly children: readonly SceneNode[];
}

/** Anything that a scene is made of. */
export type SceneNode = SceneRect | ScenePath | SceneText | SceneGroup;

/** A whole figure: what lies where, before it is drawn. */
export interface Scene {
  /** In the scene's units: pixels of a page, at full size. */
  readonly width: number;
  /** In the scene's units. */
  readonly height: number;
  /** What the figure shows, in a few words. */
  readonly title: string;
  /** What it shows, in a sentence. */
  readonly description: string;
  /** In the order in which they are drawn. */
  readonly nodes: readonly SceneNode[];
}
