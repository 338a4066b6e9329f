/** The golden file `llama-q4_k_m` with all its matrices in another type: random blocks under scales of sensible size. */
import { readFileSync } from "node:fs";
import { writeGguf } from "../scripts/gguf-writer.js";
import type { GgufValue } from "../src/formats/gguf/gguf-metadata.js";
import { openGguf } from "../src/formats/gguf/open-gguf.js";
import { f32ToF16 } from "../src/kernels/reference/half.js";
import { STORED_TYPES, storedBytes } from "../src/kernels/weight-types.js";
import { ggufPath } from "./fixture-models.js";
import { memoryFiles } from "./memory-files.js";
import { seededRandom } from "./seeded-random.js";

/** Types without a golden file of their own: where a block has its f16 scales, and how large they are. */
const SCALES = {
  Q6_K: [[208, 1 / 13_660]],
  Q5_1: [
    [0, 1 / 92.4],
    [2, -15.5 / 92.4],
  ],
  Q3_K: [[108, 1 / 420]],
  IQ4_XS: [[0, 1 / 12_000]],
} as const satisfies Partial<Record<keyof typeof STORED_TYPES, readonly (readonly [number, number])[]>>;

export type RetypedDtype = keyof typeof SCALES;

export const RETYPED_DTYPES = Object.keys(SCALES) as readonly RetypedDtype[];

export async function retypedGguf(dtype: RetypedDtype): Promise<Uint8Array> {
  const file = new Uint8Array(readFileSync(ggufPath("llama-q4_k_m")));
  const gguf = await openGguf(memoryFiles("m", { "m.gguf": file }), ["m.gguf"]);
  await gguf.close();
  const random = seededRandom(1);
  const tensors = [...gguf.tensors].map(([name, { entry }]) => {
    const { shape, begin, end } = entry;
    if (shape.length === 1) return { name, dtype: entry.dtype, shape, data: file.subarray(begin, end) };
    const data = new Uint8Array(storedBytes(dtype, shape[0]! * shape[1]!)).map(() =>
      Math.floor(256 * random()),
    );
    const view = new DataView(data.buffer);
    for (let block = 0; block < data.length; block += STORED_TYPES[dtype].bytes) {
      for (const [offset, scale] of SCALES[dtype]) {
        view.setUint16(block + offset, f32ToF16(scale * (0.75 + random() / 2)), true);
      }
    }
    return { name, dtype, shape, data };
  });
  return writeGguf({ metadata: Object.fromEntries<GgufValue>(gguf.metadata.entries()), tensors });
}
