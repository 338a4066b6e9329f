/**
 * Figures (a) and (d): a whole inference from token ids to logits, one layer in full. Of a pass that recomputes
 * everything, or of one that is fed with the new row and finds the other rows of K and V in the cache: the layout is the
 * same, so that the two can be laid over each other.
 *
 * The embedding stands left of the layer's frame, attention and MLP are two bands inside it, and what follows the layers
 * stands right of the second band.
 */
import type { Scene, SceneNode } from "../scene.js";
import { type Trace, type TracedTensor, tensorNamed } from "../trace.js";
import { legend } from "./legend.js";
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
    this.#axis = rowAxis(trace.tokens.length);
  }

  scene(): Scene {
    const { numLayers } = this.#trace.config;
    const h = `h.${this.#layer}`;
    const input = this.#inputOf(`${h}.ln_1`);
    this.#tokens();
    this.#operation("wte + wpe");
    if (this.#layer > 0) {
      this.#tensor(this.#named("wpe"), "x");
      this.#operation(layersLabel(0, this.#layer - 1));
    }
    const residual = this.#tensor(input, "x");

    const frameLeft = this.#x + FRAME_PADDING;
    const frameTop = this.#top - ABOVE_ROWS - FRAME_PADDING;
    this.#operation("ln_1", FRAME_PADDING);
    this.#tensor(this.#named(`${h}.ln_1`), "");
    this.#operation("c_attn");
    const keys = this.#named(`${h}.attn.keys`);
    const beside = Math.max(BESIDE, SHAPE_CHARACTER * (shapeLabel(keys.rows, keys.cols).length + 1) - UNIT);
    this.#tensor(this.#named(`${h}.attn.q`), "Q");
    this.#x += beside;
    this.#tensor(keys, "K");
    this.#x += beside;
    this.#tensor(this.#named(`${h}.attn.values`), "V");
    this.#operation("attention");
    this.#tensor(this.#named(`${h}.attn.weightedValues`), "");
    this.#operation("c_proj");
    this.#tensor(this.#named(`${h}.attn.c_proj`), "");
    const attentionEnd = this.#addition(residual);
    const bandHeight = ABOVE_ROWS + this.#axis.size + BELOW_ROWS;

    // Over to the second band.
    const firstFlow = this.#flowY;
    this.#top += bandHeight + 8;
    const between = this.#top - ABOVE_ROWS - 6;
    this.#x = frameLeft + 26;
    this.#flow(`M${attentionEnd},${firstFlow}h14V${between}H${frameLeft + 12}V${this.#flowY}H${this.#x - 2}`);
    const middle = this.#tensor(this.#named(`${h}.attn.residual`), "x");
    this.#operation("ln_2");
    this.#tensor(this.#named(`${h}.ln_2`), "");
    this.#operation("c_fc");
    this.#tensor(this.#named(`${h}.mlp.c_fc`), "");
    this.#operation(this.#trace.config.activation);
    this.#tensor(this.#named(`${h}.mlp.act`), "");
    this.#operation("c_proj");
    this.#tensor(this.#named(`${h}.mlp.c_proj`), "");
    const mlpEnd = this.#addition(middle);
    this.#x = Math.max(mlpEnd + 12, attentionEnd + 14 - UNIT + 6);
    this.#flow(`M${mlpEnd},${this.#flowY}H${this.#x - 2}`);
    this.#tensor(this.#named(`${h}.mlp.residual`), "x");

    const frameRight = this.#x + FRAME_PADDING;
    const frameBottom = this.#top + this.#axis.size + BELOW_ROWS;
    this.#frame(frameLeft, frameTop, frameRight, frameBottom);
    if (this.#layer < numLayers - 1) {
      this.#operation(layersLabel(this.#layer + 1, numLayers - 1), FRAME_PADDING);
      this.#tensor(this.#inputOf("ln_f"), "x");
      this.#operation("ln_f");
    } else this.#operation("ln_f", FRAME_PADDING);
    this.#tensor(this.#named("ln_f"), "");
    this.#operation("lm_head");
    this.#tensor(this.#named("lm_head"), "logits");
    const width = this.#x + MARGIN;
    const isCached = this.#trace.numCachedTokens > 0;
    this.#nodes.push(
      ...legend(frameRight + 26, frameTop + 12, [
        ["lastRow", isCached ? "the new row" : "the last row"],
        isCached ? ["cached", "K and V from the cache"] : ["needed", "K and V that it needs"],
        isCached ? ["absent", "not computed"] : ["row", "not needed once K and V are there"],
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

  #named(name: string): TracedTensor {
    return tensorNamed(this.#trace, name);
  }

  /** What a tensor was made from first. */
  #inputOf(name: string): TracedTensor {
    return this.#trace.tensors[this.#named(name).sources[0].tensor];
  }

  #tokens(): void {
    const embedded = this.#named("wte");
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
  #tensor(tensor: TracedTensor, name: string): { readonly centre: number } {
    const x = this.#x;
    const width = Math.min(WIDEST, UNIT * Math.sqrt(tensor.cols / this.#trace.config.hiddenSize));
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
    return { centre: x + width / 2 };
  }

  #labels(name: string, shape: string, x: number, width: number): void {
    if (name !== "") this.#nodes.push(label(name, x + width / 2, this.#top - 8, "name"));
    this.#nodes.push(label(shape, x + width / 2, this.#top + this.#axis.size + 15, "shape"));
  }

  /** An arrow with an operation's name over it; so far before it that a frame's border can be crossed. */
  #operation(name: string, before = 0): void {
    const width = 20 + 6.7 * name.length;
    const from = this.#x + before;
    this.#flow(`M${this.#x + 2},${this.#flowY}H${from + width - 2}`);
    this.#nodes.push(label(name, from + width / 2 - 1, this.#flowY - 7, "operation"));
    this.#x = from + width;
  }

  /** The sum with an earlier tensor, whose way is an arc above the band. @returns its right end */
  #addition({ centre }: { readonly centre: number }): number {
    const cx = this.#x + 18 + ADDITION_RADIUS;
    const y = this.#flowY;
    const r = ADDITION_RADIUS;
    const arc = this.#top - 30;
    this.#flow(`M${this.#x + 2},${y}H${cx - r - 1}`);
    this.#flow(`M${centre},${this.#top - 20}V${arc}H${cx}V${y - r - 1}`);
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
    const name = `h.${this.#layer}`;
    const of = numLayers === 1 ? "the only layer" : `layer ${this.#layer + 1} of ${numLayers}`;
    this.#nodes.unshift({
      type: "rect",
      ...{ x: left, y: top, width: right - left, height: bottom - top },
      role: "frame",
      radius: 8,
    });
    this.#nodes.push(
      label(name, left + 14, top + 19, "operation", "start"),
      label(of, left + 24 + 6.7 * name.length, top + 19, "note", "start"),
    );
  }
}

function layersLabel(first: number, last: number): string {
  return first === last ? `h.${first}` : `h.${first}…${last}`;
}

/** A token's text as it fits into its row. */
function shortened(text: string): string {
  const characters = [...text];
  return characters.length <= 10 ? text : `${characters.slice(0, 9).join("")}…`;
}
