/** What can be changed of a GGUF file that is taken apart: what it says of itself, and what it says of its model. */
import { GgufBytes } from "../scripts/gguf-writer.js";
import { GGUF_VALUE_TYPES } from "../src/formats/gguf/gguf-metadata.js";
import {
  isList,
  isText,
  LIST,
  type RawGguf,
  type RawKey,
  type RawList,
  type RawText,
  rawText,
  TEXT,
} from "./raw-gguf.js";
import { seededRandom } from "./seeded-random.js";

export const U32 = GGUF_VALUE_TYPES.indexOf("u32");
const F32 = GGUF_VALUE_TYPES.indexOf("f32");

/** Integers at which something overflows, and small ones that mean something. */
const INTEGERS = [
  ...[
    0n,
    1n,
    2n,
    3n,
    4n,
    5n,
    7n,
    8n,
    16n,
    31n,
    32n,
    33n,
    64n,
    255n,
    256n,
    287n,
    288n,
    289n,
    4096n,
    65_535n,
    65_536n,
  ],
  ...[31n, 32n, 53n, 61n, 62n, 63n].flatMap((bits) => [2n ** bits - 1n, 2n ** bits, 2n ** bits + 1n]),
  ...[2n ** 64n - 1n, 2n ** 64n - 32n, 2n ** 64n - 64n],
];
const FLOATS = [0, -0, 1, -1, 0.5, 1e-5, 1e-30, 1e-45, 1e30, 3.4e38, 10_000, Infinity, -Infinity, Number.NaN];
const TEXTS = [
  ...[
    "",
    " ",
    "a",
    "ab",
    "a b",
    "\0",
    "\ufeff",
    "▁",
    "▁▁",
    "<0x0A>",
    "<0x-1>",
    "<0xGG>",
    "<0x100>",
    "<unk>",
    "</s>",
  ],
  ...[
    "__proto__",
    "constructor",
    "none",
    "linear",
    "yarn",
    "longrope",
    "default",
    "llama-bpe",
    "qwen2",
    "gpt-4o",
    "bert",
  ],
  ...[
    "{% for i in range(999999999) %}{% endfor %}",
    "{{ ''.__class__ }}",
    "x".repeat(2000),
    "\u202e",
    "日本",
    "🙂",
  ],
];
const ARCHITECTURES = [
  ...[
    "llama",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "gpt2",
    "phi3",
    "granite",
    "smollm3",
    "olmo2",
    "stablelm",
  ],
  ...["gptneox", "mamba", "qwen3moe", ""],
];
const KEYS = [
  ...["block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"],
  ...[
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_epsilon",
  ],
  ...["attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base", "rope.freq_base_swa"],
  ...[
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
  ],
  ...["attention.sliding_window", "attention.sliding_window_pattern", "use_parallel_residual", "vocab_size"],
  ...["final_logit_softcapping", "attn_logit_softcapping", "expert_count", "attention.scale", "logit_scale"],
  ...["residual_scale", "embedding_scale"],
];
const OTHER_KEYS = [
  ...[
    "general.alignment",
    "general.architecture",
    "general.type",
    "general.quantization_version",
    "split.count",
  ],
  ...[
    "split.no",
    "split.tensors.count",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
  ],
  ...[
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
  ],
  ...["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id"],
  ...[
    "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_space_prefix",
    "tokenizer.chat_template",
    "__proto__",
  ],
  ...[
    "tokenizer.ggml.remove_extra_whitespaces",
    "general.sampling.temp",
    "general.sampling.top_k",
    "",
    "a\0b",
  ],
];
const TENSORS = [
  ...[
    "token_embd.weight",
    "output.weight",
    "output_norm.weight",
    "rope_freqs.weight",
    "rope_factors_long.weight",
  ],
  ...["rope_factors_short.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_qkv.weight"],
  ...["blk.0.attn_q.bias", "blk.9.attn_q.weight", "blk.-1.ffn_up.weight", "__proto__", "", "x".repeat(64)],
];

/** Draws from a seed. */
export class Draw {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  /** A whole number below `end`. */
  below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  integer(): bigint {
    if (this.chance(0.7)) return this.of(INTEGERS);
    return BigInt(this.below(2 ** 32)) * (this.chance(0.5) ? 1n : BigInt(this.below(2 ** 32)));
  }

  /** Another integer than the one that is right: near it, or anywhere. */
  instead(right: bigint): bigint {
    if (this.chance(0.4)) return this.integer();
    const other = this.of([
      right - 1n,
      right + 1n,
      2n * right,
      right / 2n,
      right + 32n,
      right ^ (1n << BigInt(this.below(64))),
    ]);
    return BigInt.asUintN(64, other);
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }

  text(): RawText {
    if (this.chance(0.1)) return { bytes: this.bytes(this.below(12)), length: null };
    return rawText(this.of(TEXTS));
  }
}

/** A number of some type, as a key's value. */
function numberValue(draw: Draw): Pick<RawKey, "type" | "value"> {
  const name = draw.of(["u32", "u32", "i32", "u64", "i64", "u8", "u16", "f32", "f64", "bool"] as const);
  const type = GGUF_VALUE_TYPES.indexOf(name);
  if (name === "bool") return { type, value: Uint8Array.of(draw.of([0, 1, 2])) };
  const isFloat = name === "f32" || name === "f64";
  const number = isFloat ? draw.of(FLOATS) : draw.integer();
  const raw = new GgufBytes().value({ type: name, value: number });
  return { type, value: raw.bytes().slice(4) };
}

function listValue(draw: Draw): Pick<RawKey, "type" | "value"> {
  const count = draw.of([0, 1, 2, 3, 287, 288, 289, 1000]);
  if (draw.chance(0.5)) {
    const elements = Array.from({ length: count }, () => draw.text());
    return { type: LIST, value: { elementType: TEXT, count: null, elements } };
  }
  const float = draw.chance(0.5);
  const numbers = Array.from({ length: count }, () =>
    float ? draw.of(FLOATS) : Number(BigInt.asIntN(32, draw.integer())),
  );
  const elements = new Uint8Array(
    float ? Float32Array.from(numbers).buffer : Int32Array.from(numbers).buffer,
  );
  return { type: LIST, value: { elementType: float ? F32 : draw.of([U32, 5]), count: null, elements } };
}

function anyValue(draw: Draw): Pick<RawKey, "type" | "value"> {
  const kind = draw.below(10);
  if (kind < 5) return numberValue(draw);
  return kind < 8 ? { type: TEXT, value: draw.text() } : listValue(draw);
}

const textOf = ({ bytes }: RawText) => new TextDecoder().decode(bytes);

function anyKey(file: RawGguf, draw: Draw): RawText {
  if (draw.chance(0.5)) return rawText(draw.of(OTHER_KEYS));
  const architecture = file.keys.find(({ key }) => textOf(key) === "general.architecture");
  const id = architecture !== undefined && isText(architecture.value) ? textOf(architecture.value) : "llama";
  return rawText(`${id}.${draw.of(KEYS)}`);
}

type Mutation = (file: RawGguf, draw: Draw) => void;

/** Something of a list; nothing is done where it is empty. */
function one<T>(list: readonly T[], draw: Draw, change: (chosen: T, at: number) => void): void {
  if (list.length === 0) return;
  const at = draw.below(list.length);
  change(list[at]!, at);
}

/** States something else of a list, or of one of its elements. */
function changeList(list: RawList, draw: Draw): void {
  const { elements } = list;
  const kind = draw.below(3);
  if (kind === 0) list.count = draw.instead(BigInt(elements.length));
  else if (kind === 1) list.elementType = draw.below(15);
  else if (!(elements instanceof Uint8Array)) {
    one(elements, draw, (text, at) => {
      list.elements = elements.with(at, { ...text, length: draw.instead(BigInt(text.bytes.length)) });
    });
  }
}

/** Changes elements of a list, or how many there are. */
function changeElements({ value }: RawKey, draw: Draw): void {
  const list = value as RawList;
  const { elements } = list;
  const kind = draw.below(5);
  if (elements instanceof Uint8Array) {
    const changed = elements.slice();
    if (kind === 0) list.elements = changed.subarray(0, 4 * draw.below(Math.floor(changed.length / 4) + 1));
    else if (changed.length >= 4) {
      const float = new Uint8Array(Float32Array.of(draw.of(FLOATS)).buffer);
      const number = draw.of([float, draw.bytes(4), Uint8Array.of(draw.below(9), 0, 0, 0)]);
      changed.set(number, 4 * draw.below(Math.floor(changed.length / 4)));
      list.elements = changed;
    }
    return;
  }
  const changed = [...elements];
  if (kind === 0) changed.length = draw.below(changed.length + 1);
  else if (kind === 1) changed.push(...changed.slice(0, 1 + draw.below(3)));
  else if (kind === 2) one(changed, draw, (text) => changed.splice(draw.below(changed.length), 1, text));
  else one(changed, draw, (_, at) => changed.splice(at, 1, draw.text()));
  list.elements = changed;
}

/** A key that is there has another value then. */
function setKey(file: RawGguf, key: RawText, value: Pick<RawKey, "type" | "value">): void {
  const before = file.keys.find((one) => textOf(one.key) === textOf(key));
  if (before === undefined) file.keys.push({ key, ...value });
  else Object.assign(before, value);
}

/** What a header can hold and a model may not: each is as likely as the others. */
export const OF_THE_MODEL: readonly Mutation[] = [
  (file, draw) => setKey(file, anyKey(file, draw), anyValue(draw)),
  (file, draw) => setKey(file, anyKey(file, draw), anyValue(draw)),
  (file, draw) => setKey(file, anyKey(file, draw), numberValue(draw)),
  (file, draw) => setKey(file, anyKey(file, draw), listValue(draw)),
  (file, draw) => one(file.keys, draw, (_, at) => file.keys.splice(at, 1)),
  (file, draw) => one(file.keys, draw, (key) => Object.assign(key, anyValue(draw))),
  (file, draw) => one(scalars(file), draw, (key) => Object.assign(key, numberValue(draw))),
  (file, draw) => one(scalars(file), draw, (key) => Object.assign(key, numberValue(draw))),
  (file, draw) => one(texts(file), draw, (key) => Object.assign(key, { value: draw.text() })),
  (file, draw) => one(lists(file), draw, (key) => changeElements(key, draw)),
  (file, draw) => one(lists(file), draw, (key) => changeElements(key, draw)),
  (file, draw) => one(lists(file), draw, (key) => changeElements(key, draw)),
  (file, draw) => changeArchitecture(file, draw.of(ARCHITECTURES)),
  (file, draw) => one(file.tensors, draw, (_, at) => file.tensors.splice(at, 1)),
  (file, draw) =>
    one(file.tensors, draw, (tensor) => Object.assign(tensor, { name: rawText(draw.of(TENSORS)) })),
  (file, draw) => one(file.tensors, draw, (tensor) => tensor.sizes.reverse()),
  (file, draw) => one(file.tensors, draw, ({ sizes }) => sizes.push(1n)),
  (file, draw) =>
    one(file.tensors, draw, ({ sizes }) =>
      one(sizes, draw, (size, at) => Object.assign(sizes, { [at]: size / 2n || 1n })),
    ),
  (file, draw) =>
    one(file.tensors, draw, (tensor) => Object.assign(tensor, { type: draw.of([0, 1, 2, 8, 12, 30]) })),
];

/** What a header can say wrongly of itself. */
export const OF_THE_HEADER: readonly Mutation[] = [
  (file, draw) => Object.assign(file, { version: draw.of([0, 1, 2, 4, 3 << 24, draw.below(2 ** 32)]) }),
  (file, draw) => Object.assign(file, { tensorCount: draw.instead(BigInt(file.tensors.length)) }),
  (file, draw) => Object.assign(file, { keyCount: draw.instead(BigInt(file.keys.length)) }),
  (file, draw) => one(file.keys, draw, ({ key }) => lengthen(key, draw)),
  (file, draw) => one(file.keys, draw, (key) => Object.assign(key, { key: anyKey(file, draw) })),
  (file, draw) => one(file.keys, draw, (key) => Object.assign(key, { type: draw.below(15) })),
  (file, draw) =>
    one(file.keys, draw, (key) => file.keys.splice(draw.below(file.keys.length), 0, { ...key })),
  (file, draw) => one(texts(file), draw, ({ value }) => lengthen(value as RawText, draw)),
  (file, draw) => one(lists(file), draw, ({ value }) => changeList(value as RawList, draw)),
  (file, draw) => one(lists(file), draw, ({ value }) => changeList(value as RawList, draw)),
  (file, draw) => setKey(file, rawText("general.alignment"), numberValue(draw)),
  (file, draw) => Object.assign(file, { alignment: draw.of([8, 16, 64, 128, 4096]) }),
  (file, draw) => one(file.tensors, draw, ({ name }) => lengthen(name, draw)),
  (file, draw) => one(file.tensors, draw, (tensor) => file.tensors.push({ ...tensor })),
  (file, draw) =>
    one(file.tensors, draw, (tensor) => file.tensors.push({ ...tensor, name: rawText(draw.of(TENSORS)) })),
  (file, draw) => one(file.tensors, draw, (tensor) => Object.assign(tensor, { type: draw.below(45) })),
  (file, draw) =>
    one(file.tensors, draw, (tensor) => Object.assign(tensor, { offset: draw.instead(tensor.offset) })),
  (file, draw) =>
    one(file.tensors, draw, (tensor) => Object.assign(tensor, { offset: draw.of(file.tensors).offset })),
  (file, draw) => one(file.tensors, draw, (tensor) => Object.assign(tensor, { dimensions: draw.below(7) })),
  (file, draw) =>
    one(file.tensors, draw, ({ sizes }) =>
      one(sizes, draw, (size, at) => Object.assign(sizes, { [at]: draw.instead(size) })),
    ),
  (file, draw) => one(file.tensors, draw, ({ sizes }) => sizes.push(draw.integer(), draw.integer())),
  (file, draw) => Object.assign(file, { data: file.data.subarray(0, draw.below(file.data.length + 1)) }),
];

const scalars = ({ keys }: RawGguf) => keys.filter(({ type }) => type <= F32);
const texts = ({ keys }: RawGguf) => keys.filter(({ value }) => isText(value));
const lists = ({ keys }: RawGguf) =>
  keys.filter(({ value }) => !(value instanceof Uint8Array) && isList(value));

function lengthen(text: RawText, draw: Draw): void {
  text.length = draw.instead(BigInt(text.bytes.length));
}

/** Takes the file for one of another architecture, with its keys' names. */
function changeArchitecture(file: RawGguf, id: string): void {
  const before = file.keys.find(({ key }) => textOf(key) === "general.architecture");
  if (before === undefined || !isText(before.value)) return;
  const prefix = `${textOf(before.value)}.`;
  before.value = rawText(id);
  for (const one of file.keys) {
    const name = textOf(one.key);
    if (name.startsWith(prefix)) one.key = rawText(`${id}.${name.slice(prefix.length)}`);
  }
}
