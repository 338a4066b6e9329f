/** The GPT-2 that all files hold: its sizes, and its weights by the names that Hugging Face gives them. */

export interface Tensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array;
}

/** The weights by name, such as `h.0.attn.c_attn.weight`; those of linear layers are (in, out). */
export interface Gpt2Weights {
  read(name: string): Promise<Tensor>;
}

/** Sizes of `openai-community/gpt2`, 124 million parameters. */
export const GPT2 = {
  layers: 12,
  heads: 12,
  width: 768,
  headWidth: 64,
  inner: 3072,
  context: 1024,
  vocab: 50_257,
  layerNormEpsilon: 1e-5,
} as const;

/** A matrix with its rows and columns exchanged. */
export function transpose({ shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = data[r * columns + c]!;
  }
  return { shape: [columns, rows], data: result };
}

/** The bytes of an array, without a copy. */
export function bytesOf(array: Float32Array | Int8Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
