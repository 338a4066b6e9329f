/** Files with more blocks than are read at a time, as those of real models have: every row comes once, from where it lies. */
import { expect, test } from "vitest";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import { type RangeTensor, rowsInRange } from "../kernels/kv-rows.js";
import { BlobFile } from "../platform/url-files.js";
import { SavedSequence } from "./read-sequence.js";
import type { SavedKvShape } from "./saved-layout.js";
import type { SequenceIdentity } from "./saved-metadata.js";
import { type ReadRows, sequenceFile } from "./write-sequence.js";

/** A block has 2 MiB of each layer, and 8 are read at a time; of the second layer, blocks from the fourth on are kept. */
const KV: SavedKvShape = { dtype: "f32", numLayers: 2, numKvHeads: 64, headDim: 256, windows: [null, 20] };
const NUM_TOKENS = 5 * BLOCK_SIZE + 3;
const IDENTITY: SequenceIdentity = {
  ...{ fingerprint: "f".repeat(64), earlierFingerprints: [], rotaryTable: null },
  ...{ dtypes: ["f32"], kvDtype: "f32" },
};
const EXPECTED = {
  ...{ identity: IDENTITY, kv: KV },
  ...{ vocabSize: NUM_TOKENS, contextLength: NUM_TOKENS, maxContextLength: NUM_TOKENS },
};

/** Rows as they lie in memory, each with bytes of its own. */
function rowsOf(tensors: readonly RangeTensor[], firstBlock: number, end: number): Uint8Array<ArrayBuffer> {
  const counts = tensors.map((tensor) => rowsInRange(tensor, firstBlock, end));
  const rows = new Uint8Array(tensors.reduce((sum, { rowBytes }, i) => sum + counts[i]! * rowBytes, 0));
  let at = 0;
  for (const [i, { layer, part, rowBytes }] of tensors.entries()) {
    for (let position = end - counts[i]!; position < end; position++) {
      rows.fill(1 + position + 100 * layer, at, at + rowBytes);
      if (part === "value") rows[at] = 0;
      at += rowBytes;
    }
  }
  return rows;
}

async function saved(spare: ArrayBuffer[] = []): Promise<BlobFile> {
  const tokens = Array.from({ length: NUM_TOKENS }, (_, i) => i);
  const read: ReadRows = async ({ firstBlock, numBlocks, tensors }) =>
    rowsOf(tensors, firstBlock, Math.min(NUM_TOKENS, (firstBlock + numBlocks) * BLOCK_SIZE));
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const sequence = { identity: IDENTITY, kv: KV, tokens, signature: null };
  for await (const piece of sequenceFile(sequence, read, spare)) {
    pieces.push(piece.slice());
  }
  return new BlobFile("long.kv", new Blob(pieces));
}

test("a file of more than is read at a time: all rows, in order, in memory that is used again", async () => {
  const file = await saved();
  const sequence = await SavedSequence.open(file, EXPECTED);
  const groups: number[][] = [];
  const memories = new Set<ArrayBuffer>();
  for await (const { firstBlock, numBlocks, end, rows } of sequence.groups()) {
    groups.push([firstBlock, numBlocks, end]);
    expect(Buffer.compare(rows, rowsOf(sequence.layout.tensors, firstBlock, end))).toBe(0);
    memories.add(rows.buffer);
    sequence.giveBack(rows);
  }
  expect(sequence.layout.tensors.map(({ firstBlock }) => firstBlock)).toEqual([0, 0, 3, 3]);
  expect(groups).toEqual([
    [0, 3, 48],
    [3, 2, 80],
    [5, 1, NUM_TOKENS],
  ]);
  expect(memories.size).toBeLessThanOrEqual(2);
});

test("files that are saved at once leave memory for a few", async () => {
  const spare: ArrayBuffer[] = [];
  await Promise.all(Array.from({ length: 5 }, () => saved(spare)));
  expect(spare).toHaveLength(3);
});

test("what is damaged behind what is read at first is refused with its positions", async () => {
  const file = await saved();
  const bytes = new Uint8Array(file.size);
  await file.read(0, bytes);
  bytes[bytes.length - 1]! ^= 1;
  const sequence = await SavedSequence.open(new BlobFile("long.kv", new Blob([bytes])), EXPECTED);
  const reached: number[] = [];
  const reading = async () => {
    for await (const { firstBlock } of sequence.groups()) reached.push(firstBlock);
  };
  await expect(reading()).rejects.toMatchObject({
    code: "saved_sequence_invalid",
    message: expect.stringContaining(`keys and values of positions 80 to ${NUM_TOKENS - 1}`),
  });
  expect(reached).toEqual([0, 3]);
});
