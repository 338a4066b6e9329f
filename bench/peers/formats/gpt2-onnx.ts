/**
 * GPT-2 with its past as inputs and outputs, as transformers.js runs it: `input_ids`, `attention_mask`, `position_ids`,
 * `past_key_values.N.key` and `.value` in, `logits` and `present.N.key` and `.value` out. `num_logits_to_keep` is an
 * input, too: `generate` sets it to 1, and then the prompt's other rows skip `lm_head`.
 *
 * The operations are those of a plain export, layer norms excepted, which opset 17 has; ONNX Runtime fuses what it can
 * when it loads the model. In the 8-bit form each matrix product with a weight is DynamicQuantizeLinear, MatMulInteger,
 * Cast and Mul, and the embeddings are 8-bit, too: what `onnxruntime.quantization.quantize_dynamic` makes with its
 * defaults, one symmetric int8 scale a tensor.
 */

import { bytesOf, GPT2, type Gpt2Weights, type Tensor, transpose } from "./gpt2-weights.js";
import { ONNX_TYPE, OnnxGraph } from "./onnx.js";
import { largestMagnitude } from "./q8.js";

const { heads, headWidth, width, inner, context, vocab } = GPT2;
/** What a masked score is set to: the lowest f32, as transformers does. */
const MASKED = -3.4028234663852886e38;

/** Writes `path` and the data beside it. */
export async function writeGpt2Onnx(path: string, weights: Gpt2Weights, type: "f32" | "int8"): Promise<void> {
  const graph = new OnnxGraph();
  const linears = type === "f32" ? new FloatWeights(graph, weights) : new Int8Weights(graph, weights);
  const constants = addConstants(graph);

  const ids = graph.input("input_ids", "int64", ["batch_size", "sequence_length"]);
  const mask = graph.input("attention_mask", "int64", ["batch_size", "total_sequence_length"]);
  const positions = graph.input("position_ids", "int64", ["batch_size", "sequence_length"]);
  const keep = graph.input("num_logits_to_keep", "int64", []);

  const embedded = await linears.gather("wte", "wte.weight", [vocab, width], ids);
  const placed = await linears.gather("wpe", "wpe.weight", [context, width], positions);
  let hidden = graph.node("Add", "embeddings", [embedded, placed]);
  const bias = maskBias(graph, constants, mask, positions);
  for (let layer = 0; layer < GPT2.layers; layer++) {
    const name = `h.${layer}`;
    const attended = await attention(layer, normalised(`${name}.ln_1`, hidden));
    const middle = graph.node("Add", `${name}.attn.residual`, [hidden, attended]);
    const fed = await mlp(name, normalised(`${name}.ln_2`, middle));
    hidden = graph.node("Add", `${name}.mlp.residual`, [middle, fed]);
  }
  // The last `keep` rows; all when it is 0, since -0 is the first row.
  const start = graph.node("Unsqueeze", "first_kept", [
    graph.node("Neg", "minus_kept", [keep]),
    constants.axis0,
  ]);
  const kept = graph.node("Slice", "kept", [hidden, start, constants.end, constants.axis1]);
  await linears.product("lm_head", normalised("ln_f", kept), {
    source: "wte.weight",
    shape: [width, vocab],
    transposed: true,
    output: "logits",
  });
  graph.output("logits", "float", ["batch_size", "num_logits", vocab]);
  await graph.write(path);

  function vector(name: string, size: number): string {
    return graph.weight(name, "float", [size], async () => bytesOf((await weights.read(name)).data));
  }

  function normalised(name: string, input: string): string {
    const affine = [vector(`${name}.weight`, width), vector(`${name}.bias`, width)];
    const attributes = { axis: { int: -1 }, epsilon: { float: GPT2.layerNormEpsilon } };
    return graph.node("LayerNormalization", `${name}.output`, [input, ...affine], attributes);
  }

  async function linear(name: string, input: string, inputs: number, outputs: number): Promise<string> {
    const shape = [inputs, outputs] as const;
    const product = await linears.product(name, input, { source: `${name}.weight`, shape });
    return graph.node("Add", `${name}.output`, [vector(`${name}.bias`, outputs), product]);
  }

  async function attention(layer: number, input: string): Promise<string> {
    const name = `h.${layer}.attn`;
    const qkv = await linear(`${name}.c_attn`, input, width, 3 * width);
    const parts = [`${name}.q`, `${name}.k`, `${name}.v`];
    graph.nodes("Split", parts, [qkv, constants.thirds], { axis: { int: 2 } });
    const [query, newKey, newValue] = parts.map((part) => {
      const split = graph.node("Reshape", `${part}.heads`, [part, constants.splitHeads]);
      return graph.node("Transpose", `${part}.by_head`, [split], { perm: { ints: [0, 2, 1, 3] } });
    }) as [string, string, string];
    const key = withPast(layer, "key", newKey);
    const value = withPast(layer, "value", newValue);
    const keyColumns = graph.node("Transpose", `${name}.k.columns`, [key], { perm: { ints: [0, 1, 3, 2] } });
    const products = graph.node("MatMul", `${name}.products`, [query, keyColumns]);
    const scores = graph.node("Div", `${name}.scores`, [products, constants.sqrtHeadWidth]);
    const masked = graph.node("Add", `${name}.masked`, [scores, bias]);
    const probabilities = graph.node("Softmax", `${name}.probabilities`, [masked], { axis: { int: -1 } });
    const mixed = graph.node("MatMul", `${name}.mixed`, [probabilities, value]);
    const rows = graph.node("Transpose", `${name}.rows`, [mixed], { perm: { ints: [0, 2, 1, 3] } });
    const joined = graph.node("Reshape", `${name}.joined`, [rows, constants.joinHeads]);
    return linear(`${name}.c_proj`, joined, width, width);
  }

  function withPast(layer: number, part: "key" | "value", added: string): string {
    const past = graph.input(`past_key_values.${layer}.${part}`, "float", [
      "batch_size",
      heads,
      "past_sequence_length",
      headWidth,
    ]);
    const present = `present.${layer}.${part}`;
    graph.output(present, "float", ["batch_size", heads, "total_sequence_length", headWidth]);
    return graph.node("Concat", present, [past, added], { axis: { int: 2 } });
  }

  async function mlp(name: string, input: string): Promise<string> {
    const up = await linear(`${name}.mlp.c_fc`, input, width, inner);
    return linear(`${name}.mlp.c_proj`, gelu(`${name}.mlp.gelu`, up), inner, width);
  }

  /** `gelu_new`: x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³))). */
  function gelu(name: string, x: string): string {
    const cube = graph.node("Pow", `${name}.cube`, [x, constants.three]);
    const small = graph.node("Mul", `${name}.small`, [cube, constants.geluFactor]);
    const sum = graph.node("Add", `${name}.sum`, [x, small]);
    const scaled = graph.node("Mul", `${name}.scaled`, [sum, constants.sqrtTwoOverPi]);
    const tanh = graph.node("Tanh", `${name}.tanh`, [scaled]);
    const gate = graph.node("Add", `${name}.gate`, [tanh, constants.one]);
    const half = graph.node("Mul", `${name}.half`, [x, constants.half]);
    return graph.node("Mul", `${name}.output`, [half, gate]);
  }
}

function addConstants(graph: OnnxGraph) {
  const float = (name: string, value: number) => graph.constant(name, "float", [], [value]);
  const ints = (name: string, values: readonly number[]) =>
    graph.constant(name, "int64", [values.length], values);
  return {
    axis0: ints("axis0", [0]),
    axis1: ints("axis1", [1]),
    axis2: ints("axis2", [2]),
    end: ints("end", [Number.MAX_SAFE_INTEGER]),
    thirds: ints("thirds", [width, width, width]),
    splitHeads: ints("split_heads", [0, 0, heads, headWidth]),
    joinHeads: ints("join_heads", [0, 0, width]),
    first: graph.constant("first", "int64", [], [0]),
    step: graph.constant("step", "int64", [], [1]),
    one: float("one", 1),
    half: float("half", 0.5),
    three: float("three", 3),
    geluFactor: float("gelu_factor", 0.044715),
    sqrtTwoOverPi: float("sqrt_two_over_pi", Math.sqrt(2 / Math.PI)),
    sqrtHeadWidth: float("sqrt_head_width", Math.sqrt(headWidth)),
    visible: float("visible", 0),
    masked: float("masked", MASKED),
  };
}

/** What all layers add to their scores, (batch, 1, new positions, all positions): 0, or `MASKED` for what is hidden. */
function maskBias(
  graph: OnnxGraph,
  constants: ReturnType<typeof addConstants>,
  mask: string,
  positions: string,
): string {
  const shape = graph.node("Shape", "mask.shape", [mask]);
  const total = graph.node("Gather", "mask.total", [shape, constants.step]);
  const keys = graph.node("Range", "mask.keys", [constants.first, total, constants.step]);
  const queries = graph.node("Unsqueeze", "mask.queries", [positions, constants.axis2]);
  const causal = graph.node("GreaterOrEqual", "mask.causal", [queries, keys]);
  const given = graph.node("Cast", "mask.bool", [mask], { to: { int: ONNX_TYPE.bool } });
  const givenRow = graph.node("Unsqueeze", "mask.row", [given, constants.axis1]);
  const allowed = graph.node("And", "mask.allowed", [causal, givenRow]);
  const bias = graph.node("Where", "mask.bias", [allowed, constants.visible, constants.masked]);
  return graph.node("Unsqueeze", "mask.output", [bias, constants.axis1]);
}

interface Product {
  readonly source: string;
  /** (in, out) */
  readonly shape: readonly [number, number];
  /** The checkpoint has it the other way round. */
  readonly transposed?: boolean;
  /** Name of the result. */
  readonly output?: string;
}

/** Products and lookups with f32 weights. */
class FloatWeights {
  readonly #graph: OnnxGraph;
  readonly #weights: Gpt2Weights;

  constructor(graph: OnnxGraph, weights: Gpt2Weights) {
    this.#graph = graph;
    this.#weights = weights;
  }

  async gather(name: string, source: string, shape: readonly number[], ids: string): Promise<string> {
    const weight = this.#graph.weight(source, "float", shape, async () =>
      bytesOf((await this.#weights.read(source)).data),
    );
    return this.#graph.node("Gather", `${name}.output`, [weight, ids]);
  }

  async product(
    name: string,
    input: string,
    { source, shape, transposed, output }: Product,
  ): Promise<string> {
    const weight = this.#graph.weight(`${name}.matrix`, "float", shape, async () =>
      bytesOf(oriented(await this.#weights.read(source), transposed).data),
    );
    return this.#graph.node("MatMul", output ?? `${name}.product`, [input, weight]);
  }
}

/** Products and lookups with int8 weights; each matrix has one scale. */
class Int8Weights {
  readonly #graph: OnnxGraph;
  readonly #weights: Gpt2Weights;

  constructor(graph: OnnxGraph, weights: Gpt2Weights) {
    this.#graph = graph;
    this.#weights = weights;
  }

  async gather(name: string, source: string, shape: readonly number[], ids: string): Promise<string> {
    const { weight, scale, zero } = await this.#quantised(name, { source, shape });
    const rows = this.#graph.node("Gather", `${name}.rows`, [weight, ids]);
    return this.#graph.node("DequantizeLinear", `${name}.output`, [rows, scale, zero]);
  }

  async product(name: string, input: string, { output, ...matrix }: Product): Promise<string> {
    const graph = this.#graph;
    const { weight, scale, zero } = await this.#quantised(name, matrix);
    const [rows, rowScale, rowZero] = graph.nodes(
      "DynamicQuantizeLinear",
      [`${name}.rows`, `${name}.row_scale`, `${name}.row_zero`],
      [input],
    ) as [string, string, string];
    const sums = graph.node("MatMulInteger", `${name}.sums`, [rows, weight, rowZero, zero]);
    const floats = graph.node("Cast", `${name}.floats`, [sums], { to: { int: ONNX_TYPE.float } });
    const factor = graph.node("Mul", `${name}.factor`, [rowScale, scale]);
    return graph.node("Mul", output ?? `${name}.product`, [floats, factor]);
  }

  async #quantised(
    name: string,
    { source, shape, transposed }: { source: string; shape: readonly number[]; transposed?: boolean },
  ): Promise<{ weight: string; scale: string; zero: string }> {
    const tensor = await this.#weights.read(source);
    const scale = largestMagnitude(tensor.data) / 127;
    const data = async () =>
      bytesOf(Int8Array.from(oriented(tensor, transposed).data, (x) => Math.round(x / scale)));
    return {
      weight: this.#graph.weight(`${name}.matrix`, "int8", shape, data),
      scale: this.#graph.constant(`${name}.scale`, "float", [], [scale]),
      zero: this.#graph.constant(`${name}.zero`, "int8", [], [0]),
    };
  }
}

function oriented(tensor: Tensor, transposed = false): Tensor {
  return transposed ? transpose(tensor) : tensor;
}
