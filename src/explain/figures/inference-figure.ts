/**
 * Figures (a) and (d): a whole inference from token ids to logits, one layer in full. Of a pass that recomputes
 * everything, or of one that is fed with the new row and finds the other rows of K and V in the cache: the layout is the
 * same, so that the two can be laid over each other.
 *
 * The embedding stands left of the layer's frame, attention and MLP are two bands inside it, and what follows the layers
 * stands right of the second band.
 */
import type { Scene, SceneNode } from "../scene.js";
import { lastLogits, type Trace, type TracedTensor } from "../trace.js";
import {
  attentionNotes,
  isNorm,
  type LayerParts,
  layerParts,
  operationLines,
  sourceOf,
  wayTo,
} from "./layer-parts.js";
import { absentWords, LEGEND_WIDTH, legend } from "./legend.js";
import { rowRoles } from "./marked-rows.js";
import { label, ROW, rowAxis, shapeLabel, tensorBox } from "./tensor-box.js";

/** What a figure of an inference shows. */
export interface InferenceFigureOptions {
  /** The layer that is drawn in full, from 0; default 0. */
  readonly layer?: number | undefined;
  /** Texts of all tokens of the trace; ids without them. */
  readonly tokenTexts?: readonly string[] | undefined;
}

const MARGIN = 24;
/** From a band's top to its rows: names, and the arc of the residual above them. */
const ABOVE_ROWS = 44;
/** From a band's rows to its end: shapes. */
const BELOW_ROWS = 30;
/** Width of a tensor as wide as the residual stream, and of the widest one. */
const UNIT = 34;
const WIDEST = 96;
const TOKEN_WIDTH = 64;
/** Between Q, K and V at least; more where their shapes need it, so wide is a character of one. */
const BESIDE = 26;
const SHAPE_CHARACTER = 6;
/** Between lines over an arrow. */
const LINE = 12;
const NOTE_CHARACTER = 5.8;
const ADDITION_RADIUS = 8;
const FRAME_PADDING = 14;
const TITLE_HEIGHT = 34;

/** Draws the whole inference of a trace; any trace of `traceForward`. */
export function inferenceFigure(trace: Trace, options: InferenceFigureOptions = {}): Scene {
  return new InferenceLayout(trace, options).scene();
}

class InferenceLayout {
  readonly #trace: Trace;
  readonly #layer: number;
  readonly #parts: LayerParts;
  readonly #texts: readonly string[];
  readonly #nodes: SceneNode[] = [];
  readonly #roleOf: ReturnType<typeof rowRoles>;
  readonly #axis;
  /** Where the next thing goes: left edge, and the top of the band's rows. */
  #x = MARGIN;
  #top = TITLE_HEIGHT + ABOVE_ROWS + FRAME_PADDING;

  constructor(trace: Trace, { layer = 0, tokenTexts }: InferenceFigureOptions) {
    this.#trace = trace;
    this.#layer = layer;
    this.#texts = tokenTexts ?? trace.tokens.map(String);
    this.#roleOf = rowRoles(trace);
    this.#parts = layerParts(trace, layer);
    this.#axis = rowAxis(trace.tokens.length, this.#parts.firstSeen);
  }

  scene(): Scene {
    const trace = this.#trace;
    const { numLayers } = trace.config;
    const parts = this.#parts;
    const { input, attentionRead, keys, mlpRead } = parts;
    const stack = parts.name.replace(/\.\d+$/, "");
    const [embedded, norm, head, logits] = [
      this.#made("embedding"),
      this.#made("finalNorm"),
      this.#made("head"),
      lastLogits(trace).tensor,
    ];
    const embedding = layerParts(trace, 0).input;
    this.#tokens(embedded);
    this.#operation([embedded, ...wayTo(trace, embedded, embedding)]);
    if (this.#layer > 0) {
      this.#tensor(embedding, "x");
      this.#arrow([layersLabel(stack, 0, this.#layer - 1)]);
    }
    const residual = this.#tensor(input, "x");

    const frameLeft = this.#x + FRAME_PADDING;
    const frameTop = this.#top - ABOVE_ROWS - FRAME_PADDING;
    let before = FRAME_PADDING;
    // Where attention and MLP read the same: in parallel both begin there.
    let fork = residual.right;
    if (attentionRead !== input) {
      this.#operation([attentionRead], before);
      const normed = this.#tensor(attentionRead, "");
      if (mlpRead === attentionRead) fork = normed.right;
      before = 0;
    }
    this.#arrow(
      operationLines(trace, wayTo(trace, attentionRead, parts.q), wayTo(trace, attentionRead, parts.newKeys)),
      before,
    );
    this.#tensor(parts.q, "Q");
    this.#x += this.#beside(parts.q, keys);
    this.#tensor(keys, "K");
    this.#x += this.#beside(keys, parts.values);
    this.#tensor(parts.values, "V");
    this.#arrow(["attention"]);
    this.#tensor(parts.attended, "");
    this.#operation(wayTo(trace, parts.attended, parts.attentionOut));
    this.#tensor(parts.attentionOut, "");
    const attentionEnd = this.#addition(residual.centre);
    const bandHeight = ABOVE_ROWS + this.#axis.size + BELOW_ROWS;

    // Over to the second band.
    const firstFlow = this.#flowY;
    this.#top += bandHeight + 8;
    const between = this.#top - ABOVE_ROWS - 6;
    this.#x = frameLeft + 26;
    const isParallel = this.#isParallel;
    let middle = this.#x;
    if (isParallel) {
      const d = `M${fork + 7},${firstFlow}V${between}H${frameLeft + 12}V${this.#flowY}H${this.#x + 2}`;
      this.#nodes.push({ type: "path", d, role: "flow" });
    } else {
      this.#flow(
        `M${attentionEnd},${firstFlow}h14V${between}H${frameLeft + 12}V${this.#flowY}H${this.#x - 2}`,
      );
      middle = this.#tensor(parts.attentionSum, "x").centre;
    }
    const readsNorm = isNorm(mlpRead) && mlpRead !== attentionRead;
    if (readsNorm) {
      this.#operation([mlpRead]);
      this.#tensor(mlpRead, "");
    }
    this.#operation(wayTo(trace, mlpRead, parts.inner[0]));
    const isGated = parts.inner.length > 1;
    parts.inner.forEach((inner, i) => {
      if (i > 0) this.#x += this.#beside(parts.inner[i - 1], inner);
      this.#tensor(inner, isGated ? ["gate", "up"][i] : "");
    });
    this.#operation([parts.activated]);
    this.#tensor(parts.activated, "");
    this.#operation(wayTo(trace, parts.activated, parts.mlpOut));
    this.#tensor(parts.mlpOut, "");
    const mlpEnd = isParallel ? this.#additionTo(attentionEnd, firstFlow, between) : this.#addition(middle);
    this.#x = Math.max(mlpEnd + 12, attentionEnd + 14 - UNIT + 6);
    this.#flow(`M${mlpEnd},${this.#flowY}H${this.#x - 2}`);
    this.#tensor(parts.mlpSum, "x");

    const frameRight = this.#x + FRAME_PADDING;
    const frameBottom = this.#top + this.#axis.size + BELOW_ROWS;
    this.#frame(frameLeft, frameTop, frameRight, frameBottom);
    if (this.#layer < numLayers - 1) {
      this.#arrow([layersLabel(stack, this.#layer + 1, numLayers - 1)], FRAME_PADDING);
      this.#tensor(sourceOf(trace, norm), "x");
      this.#operation([norm]);
    } else this.#operation([norm], FRAME_PADDING);
    this.#tensor(norm, "");
    this.#operation([head, ...wayTo(trace, head, logits)]);
    this.#tensor(logits, "logits");
    const width = Math.max(this.#x + MARGIN, frameRight + 26 + LEGEND_WIDTH);
    const isCached = this.#trace.numCachedTokens > 0;
    this.#nodes.push(
      ...legend(frameRight + 26, frameTop + 12, [
        ["lastRow", isCached ? "the new row" : "the last row"],
        isCached ? ["cached", "K and V from the cache"] : ["needed", "K and V that it needs"],
        isCached
          ? ["absent", absentWords(this.#parts.firstSeen)]
          : ["row", "not needed once K and V are there"],
      ]),
    );
    const title = isCached ? "The inference with the KV cache" : "The whole inference, everything recomputed";
    return {
      width,
      height: frameBottom + 18,
      title,
      description: this.#description(isCached),
      nodes: [label(title, MARGIN, 24, "title", "start"), ...this.#nodes],
    };
  }

  #description(isCached: boolean): string {
    const { tokens, numCachedTokens } = this.#trace;
    const fed = tokens.length - numCachedTokens;
    if (isCached) {
      return `${fed === 1 ? "One new row goes" : `${fed} new rows go`} through the model; K and V of ${numCachedTokens} earlier rows come from the cache.`;
    }
    return `${fed} rows go through the model; the last one chooses the next token, and needs of the others their K and V alone.`;
  }

  /** The line along which the last row goes. */
  get #flowY(): number {
    return this.#top + this.#axis.size - ROW / 2;
  }

  /** Attention and MLP read the same stream: what attention adds comes in behind the MLP. */
  get #isParallel(): boolean {
    return this.#trace.config.decoder.layers[this.#layer].residual === "parallel";
  }

  /** What was made with a weight outside of the layers. */
  #made(weight: string): TracedTensor {
    const found = this.#trace.tensors.find((tensor) => tensor.weight === weight && tensor.sources.length > 0);
    if (found === undefined) throw new Error(`the trace has nothing made with ${weight}`);
    return found;
  }

  /** Between two tensors that stand side by side: so much that the shapes of passes over all rows fit below them. */
  #beside(one: TracedTensor, other: TracedTensor): number {
    const { rows } = this.#parts.keys;
    const characters = (shapeLabel(rows, one.cols).length + shapeLabel(rows, other.cols).length) / 2;
    const widths = (this.#widthOf(one) + this.#widthOf(other)) / 2;
    return Math.max(BESIDE, SHAPE_CHARACTER * (characters + 1) - widths);
  }

  #widthOf({ cols }: TracedTensor): number {
    return Math.min(WIDEST, UNIT * Math.sqrt(cols / this.#trace.config.hiddenSize));
  }

  #tokens(embedded: TracedTensor): void {
    const x = this.#x;
    const box = tensorBox({
      tensor: embedded,
      x,
      y: this.#top,
      width: TOKEN_WIDTH,
      axis: this.#axis,
      roleOf: (row) => this.#roleOf(embedded, row),
      showsAbsent: true,
      title: "input ids",
    });
    const first = embedded.firstPosition ?? 0;
    const lastPosition = this.#trace.tokens.length - 1;
    const texts = this.#axis.slots
      .filter(({ isElided, to }) => !isElided && to > first)
      .map(({ from, offset, size }) =>
        label(
          shortened(this.#texts[from]),
          x + TOKEN_WIDTH / 2,
          this.#top + offset + size - 3.5,
          from === lastPosition ? "tickOnLastRow" : "tick",
        ),
      );
    this.#nodes.push({ ...box, id: "input ids", children: [...box.children, ...texts] });
    this.#labels("tokens", `(${embedded.rows})`, x, TOKEN_WIDTH);
    this.#x = x + TOKEN_WIDTH;
  }

  /** Draws a tensor and goes past it. @returns where it is */
  #tensor(tensor: TracedTensor, name: string): { readonly centre: number; readonly right: number } {
    const x = this.#x;
    const width = this.#widthOf(tensor);
    const shape = shapeLabel(tensor.rows, tensor.cols);
    this.#nodes.push(
      tensorBox({
        tensor,
        x,
        y: this.#top,
        width,
        axis: this.#axis,
        roleOf: (row) => this.#roleOf(tensor, row),
        showsAbsent: true,
        title: `${tensor.name} ${shape}`,
      }),
    );
    this.#labels(name, shape, x, width);
    this.#x = x + width;
    return { centre: x + width / 2, right: x + width };
  }

  #labels(name: string, shape: string, x: number, width: number): void {
    if (name !== "") this.#nodes.push(label(name, x + width / 2, this.#top - 8, "name"));
    this.#nodes.push(label(shape, x + width / 2, this.#top + this.#axis.size + 15, "shape"));
  }

  /** An arrow with what made tensors over it. */
  #operation(tensors: readonly TracedTensor[], before = 0): void {
    this.#arrow(operationLines(this.#trace, tensors), before);
  }

  /** An arrow with lines over it; so far before it that a frame's border can be crossed. */
  #arrow(lines: readonly string[], before = 0): void {
    const width = 20 + 6.7 * Math.max(...lines.map((line) => line.length));
    const from = this.#x + before;
    this.#flow(`M${this.#x + 2},${this.#flowY}H${from + width - 2}`);
    lines.forEach((line, i) => {
      const y = this.#flowY - 7 - LINE * (lines.length - 1 - i);
      this.#nodes.push(label(line, from + width / 2 - 1, y, "operation"));
    });
    this.#x = from + width;
  }

  /** The sum with an earlier tensor, whose way is an arc above the band. @returns its right end */
  #addition(centre: number): number {
    return this.#sum((cx, end) => `M${centre},${this.#top - 20}V${this.#top - 30}H${cx}V${end}`);
  }

  /** The sum with what comes from the first band. @returns its right end */
  #additionTo(right: number, firstFlow: number, between: number): number {
    return this.#sum((cx, end) =>
      cx > right + 14
        ? `M${right},${firstFlow}H${cx}V${end}`
        : `M${right},${firstFlow}h14V${between + 8}H${cx}V${end}`,
    );
  }

  /** @param wayDown the way of what is added, to the circle's top */
  #sum(wayDown: (cx: number, end: number) => string): number {
    const cx = this.#x + 18 + ADDITION_RADIUS;
    const y = this.#flowY;
    const r = ADDITION_RADIUS;
    this.#flow(`M${this.#x + 2},${y}H${cx - r - 1}`);
    this.#flow(wayDown(cx, y - r - 1));
    this.#nodes.push({
      type: "path",
      d: `M${cx - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0M${cx - 4},${y}h8M${cx},${y - 4}v8`,
      role: "leader",
    });
    this.#x = cx + r;
    return this.#x;
  }

  #flow(d: string): void {
    this.#nodes.push({ type: "path", d, role: "flow", isArrow: true });
  }

  #frame(left: number, top: number, right: number, bottom: number): void {
    const { numLayers } = this.#trace.config;
    const { name } = this.#parts;
    const of = numLayers === 1 ? "the only layer" : `layer ${this.#layer + 1} of ${numLayers}`;
    this.#nodes.unshift({
      type: "rect",
      ...{ x: left, y: top, width: right - left, height: bottom - top },
      role: "frame",
      radius: 8,
    });
    this.#nodes.push(label(name, left + 14, top + 19, "operation", "start"));
    let x = left + 24 + 6.7 * name.length;
    for (const note of [of, ...attentionNotes(this.#parts, this.#trace)]) {
      this.#nodes.push(label(note, x, top + 19, "note", "start"));
      x += NOTE_CHARACTER * note.length + 22;
    }
  }
}

function layersLabel(stack: string, first: number, last: number): string {
  return first === last ? `${stack}.${first}` : `${stack}.${first}…${last}`;
}

/** A token's text as it fits into its row. */
function shortened(text: string): string {
  const characters = [...text];
  return characters.length <= 10 ? text : `${characters.slice(0, 9).join("")}…`;
}
