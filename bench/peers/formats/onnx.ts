/**
 * Writes ONNX models: a graph in protobuf and the initializers' data in a file beside it. Field numbers are those of
 * `onnx.proto` of the ONNX repository; only what this benchmark needs is here.
 */
import { open, writeFile } from "node:fs/promises";
import { basename } from "node:path";

/** `TensorProto.DataType`. */
export const ONNX_TYPE = { float: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9 } as const;
export type OnnxType = keyof typeof ONNX_TYPE;

/** A dimension: its size, or a name for one that is known only when the model runs. */
type Dimension = number | string;

export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number };

interface Initializer {
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => Promise<Uint8Array>);
}

/** Where the data of an initializer starts: a page, so that the file can be mapped. */
const ALIGNMENT = 4096;
const IR_VERSION = 8;
const OPSET = 17;
const CONTRIB_DOMAIN = "com.microsoft";

/** A graph under construction. Nodes are added in the order in which they run; each returns the name of its output. */
export class OnnxGraph {
  readonly #nodes: Message[] = [];
  readonly #inputs: Message[] = [];
  readonly #outputs: Message[] = [];
  readonly #initializers = new Map<string, Initializer>();

  input(name: string, type: OnnxType, shape: readonly Dimension[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: OnnxType, shape: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** A large initializer, in the file beside the model; its data is asked for when it is written. */
  weight(name: string, type: OnnxType, shape: readonly number[], data: () => Promise<Uint8Array>): string {
    this.#initializers.set(name, { type, shape, data });
    return name;
  }

  /** A small initializer, in the model itself. */
  constant(name: string, type: OnnxType, shape: readonly number[], values: readonly number[]): string {
    this.#initializers.set(name, { type, shape, data: elementBytes(type, values) });
    return name;
  }

  /** A node with one output, `name`. */
  node(
    op: string,
    name: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): string {
    return this.nodes(op, [name], inputs, attributes)[0]!;
  }

  /** A node with several outputs; it bears the first one's name. An empty input is one that is absent. */
  nodes(
    op: string,
    outputs: readonly string[],
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
    domain: "" | typeof CONTRIB_DOMAIN = "",
  ): readonly string[] {
    const node = new Message();
    for (const input of inputs) node.text(1, input);
    for (const output of outputs) node.text(2, output);
    node.text(3, outputs[0]!).text(4, op);
    for (const [name, attribute] of Object.entries(attributes))
      node.message(5, attributeProto(name, attribute));
    if (domain !== "") node.text(7, domain);
    this.#nodes.push(node);
    return outputs;
  }

  /** Writes `path` + `_data` and, when that is whole, `path`. */
  async write(path: string): Promise<void> {
    const dataPath = `${path}_data`;
    const graph = new Message();
    for (const node of this.#nodes) graph.message(1, node);
    graph.text(2, "gpt2");
    const data = await open(dataPath, "w");
    try {
      let offset = 0;
      for (const [name, { type, shape, data: content }] of this.#initializers) {
        const tensor = new Message();
        for (const size of shape) tensor.integer(1, size);
        tensor.integer(2, ONNX_TYPE[type]).text(8, name);
        if (typeof content === "function") {
          const bytes = await content();
          const entries = { location: basename(dataPath), offset: `${offset}`, length: `${bytes.length}` };
          for (const [key, value] of Object.entries(entries)) {
            tensor.message(13, new Message().text(1, key).text(2, value));
          }
          tensor.integer(14, 1);
          await data.write(bytes, 0, bytes.length, offset);
          offset = Math.ceil((offset + bytes.length) / ALIGNMENT) * ALIGNMENT;
        } else {
          tensor.bytes(9, content);
        }
        graph.message(5, tensor);
      }
    } finally {
      await data.close();
    }
    for (const input of this.#inputs) graph.message(11, input);
    for (const output of this.#outputs) graph.message(12, output);
    const model = new Message().integer(1, IR_VERSION).text(2, "lastrow-bench-peers").message(7, graph);
    model.message(8, new Message().text(1, "").integer(2, OPSET));
    model.message(8, new Message().text(1, CONTRIB_DOMAIN).integer(2, 1));
    await writeFile(path, model.encoded());
  }
}

function valueInfo(name: string, type: OnnxType, shape: readonly Dimension[]): Message {
  const dimensions = new Message();
  for (const size of shape) {
    const dimension = new Message();
    dimensions.message(1, typeof size === "number" ? dimension.integer(1, size) : dimension.text(2, size));
  }
  const tensorType = new Message().integer(1, ONNX_TYPE[type]).message(2, dimensions);
  return new Message().text(1, name).message(2, new Message().message(1, tensorType));
}

function attributeProto(name: string, attribute: Attribute): Message {
  const proto = new Message().text(1, name);
  if ("int" in attribute) return proto.integer(3, attribute.int).integer(20, 2);
  if ("float" in attribute) return proto.float(2, attribute.float).integer(20, 1);
  for (const int of attribute.ints) proto.integer(8, int);
  return proto.integer(20, 7);
}

function elementBytes(type: OnnxType, values: readonly number[]): Uint8Array {
  if (type === "int64") return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  if (type === "float") return new Uint8Array(Float32Array.from(values).buffer);
  if (type === "int8") return new Uint8Array(Int8Array.from(values).buffer);
  throw new Error(`No constants of type ${type} are written.`);
}

/** A protobuf message: fields by number, in the order in which they are added. */
class Message {
  readonly #parts: Uint8Array[] = [];

  /** A varint; negative numbers take ten bytes. */
  integer(field: number, value: number): this {
    this.#parts.push(varint(BigInt(field << 3)), varint(BigInt.asUintN(64, BigInt(value))));
    return this;
  }

  float(field: number, value: number): this {
    this.#parts.push(varint(BigInt((field << 3) | 5)), new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#parts.push(varint(BigInt((field << 3) | 2)), varint(BigInt(value.length)), value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.encoded());
  }

  encoded(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
