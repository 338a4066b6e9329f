/** Blocks of every type against the values that the format's own tools give them: test/fixtures/gguf-blocks. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { GROUP, groupValue, QUANTISED_DTYPES, readGroups } from "./blocks.js";

const folder = new URL("../../../test/fixtures/gguf-blocks/", import.meta.url);

/** The tensors `bytes` and `values` of a fixture. */
async function fixture(dtype: string) {
  const file = await readFile(new URL(`${dtype.toLowerCase()}.safetensors`, folder));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start));
  const tensor = (name: string) => {
    const [begin, end] = header[name].data_offsets;
    return Uint8Array.from(file.subarray(start + begin, start + end));
  };
  return {
    blockBytes: Number(header.__metadata__.bytesPerBlock),
    bytes: tensor("bytes"),
    values: new Uint32Array(tensor("values").buffer),
  };
}

test.each(QUANTISED_DTYPES)("%s: every value has the bits that it stands for", async (dtype) => {
  const { bytes, values, blockBytes } = await fixture(dtype);
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    for (const group of readGroups(dtype, bytes.subarray(at, at + blockBytes))) {
      for (let i = 0; i < GROUP; i++) found.push(groupValue(group, i));
    }
  }
  expect(found).toHaveLength(values.length);
  const bits = new Uint32Array(Float32Array.from(found).buffer);
  const nan = (word: number) => (word & 0x7fffffff) > 0x7f800000;
  const different = bits.findIndex((word, i) => word !== values[i] && !(nan(word) && nan(values[i])));
  expect(different).toBe(-1);
});
