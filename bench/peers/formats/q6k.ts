/**
 * Q6_K of GGUF, in which llama.cpp's quantiser keeps the embedding of a Q4_0 file. Its search for better scales is left out:
 * only speed is measured with it.
 */
import { largestMagnitude, toF16 } from "./q8.js";

/** Elements of a block of Q6_K, and of each of its sixteen groups. */
const BLOCK = 256;
const GROUP = 16;
const GROUPS = BLOCK / GROUP;
/** 128 bytes of low bits, 64 of high bits, a scale in int8 for each group, and the block's in binary16. */
const BLOCK_BYTES = 210;

export function q6_KBlocks(data: Float32Array): Uint8Array {
  const blocks = data.length / BLOCK;
  const result = new Uint8Array(blocks * BLOCK_BYTES);
  const view = new DataView(result.buffer);
  for (let b = 0; b < blocks; b++) {
    const block = data.subarray(b * BLOCK, (b + 1) * BLOCK);
    const at = b * BLOCK_BYTES;
    const scale = largestMagnitude(block) / (31 * 127);
    view.setUint16(at + 208, toF16(scale), true);
    for (let g = 0; g < GROUPS; g++) {
      const group = block.subarray(g * GROUP, (g + 1) * GROUP);
      const steps = scale === 0 ? 0 : Math.max(1, Math.ceil(largestMagnitude(group) / (31 * scale)));
      view.setInt8(at + 192 + g, steps);
      for (let i = 0; i < GROUP; i++) {
        const level = steps === 0 ? 0 : Math.round(group[i]! / (scale * steps));
        putLevel(result, at, g * GROUP + i, Math.max(-32, Math.min(31, level)) + 32);
      }
    }
  }
  return result;
}

/** Element i's six bits: in each half of a block, four rows of 32 share bytes, as ggml's `dequantize_row_q6_K` reads them. */
function putLevel(bytes: Uint8Array, at: number, i: number, level: number): void {
  const half = i >> 7;
  const row = (i >> 5) & 3;
  const column = i & 31;
  bytes[at + 64 * half + 32 * (row & 1) + column]! |= (level & 15) << (row >= 2 ? 4 : 0);
  bytes[at + 128 + 32 * half + column]! |= (level >> 4) << (2 * row);
}
